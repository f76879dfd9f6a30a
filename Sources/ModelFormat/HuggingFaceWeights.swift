import Disk
import Glibc
import StrictJSON

/// The tensors of a checkpoint under their canonical names.
///
/// Old checkpoints say gamma and beta for a LayerNorm's weight and bias, some lack the `bert.` prefix, some repeat the
/// decoder's bias; the pooler, the next-sentence head and position_ids play no part in filling blanks and are dropped.
/// Any other name is refused: weights that nobody reads mean that the model is not what we take it for.
struct HuggingFaceWeights {
    private(set) var tensors: [String: StoredTensor] = [:]
    private(set) var isTied = true

    init(_ source: FileSource, _ shape: ModelShape) throws(ModelFormatError) {
        for file in try Self.files(source) { try add(file) }
        try tieDecoder(source)
        try chooseBias()
        try checkShapes(source, shape)
    }

    // MARK: - Files

    private static func files(_ source: FileSource) throws(ModelFormatError) -> [SafeTensors] {
        if source.has("model.safetensors") {
            return [try SafeTensors(try source.bytes("model.safetensors"), file: source.path("model.safetensors"))]
        }
        let index = "model.safetensors.index.json"
        if source.has(index) { return try shards(source, index) }
        if source.has("pytorch_model.bin") || source.has("pytorch_model.bin.index.json") {
            throw .pickleOnly(folder: source.place)
        }
        throw .fileMissing(folder: source.place, expected: "model.safetensors or \(index)")
    }

    /// `weight_map` says which shard holds which tensor; both must agree.
    private static func shards(_ source: FileSource, _ index: String) throws(ModelFormatError) -> [SafeTensors] {
        let file = try ConfigurationFile(source, index)
        guard let map = file.json["weight_map"]?.members else { throw file.wrong("weight_map", "an object") }
        var names: [String: Set<String>] = [:]
        for member in map {
            guard let shard = member.value.string, !shard.contains("/"), !shard.utf8.contains(0),
                shard.hasSuffix(".safetensors")
            else {
                throw .key(
                    file: file.path, key: "weight_map.\(member.key)", expected: "a .safetensors file of this folder",
                    found: member.value.serialized)
            }
            names[shard, default: []].insert(member.key)
        }
        var shards: [SafeTensors] = []
        for (shard, expected) in names.sorted(by: { $0.key < $1.key }) {
            let tensors = try SafeTensors(try source.bytes(shard), file: source.path(shard))
            let found = Set(tensors.tensors.map(\.name) + tensors.others.map(\.name))
            if let missing = expected.subtracting(found).min() {
                throw .tensorMissing(file: source.path(shard), tensor: missing)
            }
            if let extra = found.subtracting(expected).min() {
                throw .key(
                    file: file.path, key: "weight_map.\(extra)", expected: "\"\(shard)\", which holds it",
                    found: file.json["weight_map"]?[extra]?.serialized ?? "nothing")
            }
            shards.append(tensors)
        }
        return shards
    }

    // MARK: - Names

    private mutating func add(_ file: SafeTensors) throws(ModelFormatError) {
        for tensor in file.tensors {
            guard let name = Self.canonical(tensor.name) else { continue }
            if let known = tensors[name] {
                throw .tensorTwice(file: tensor.file, tensor: name, keys: [known.name, tensor.name])
            }
            tensors[name] = tensor
        }
        for (name, dtype) in file.others where Self.canonical(name) != nil {
            throw .dtype(file: file.tensors.first?.file ?? "model.safetensors", tensor: name, found: dtype)
        }
    }

    /// nil for what plays no part in filling blanks.
    static func canonical(_ key: String) -> String? {
        var name = key
        if name.hasPrefix("embeddings.") || name.hasPrefix("encoder.") || name.hasPrefix("pooler.") {
            name = "bert." + name
        }
        if name.hasPrefix("bert.pooler.") || name.hasPrefix("cls.seq_relationship.") || name.hasSuffix(".position_ids") {
            return nil
        }
        if name.hasSuffix("LayerNorm.gamma") { return String(name.dropLast("gamma".count)) + "weight" }
        if name.hasSuffix("LayerNorm.beta") { return String(name.dropLast("beta".count)) + "bias" }
        return name
    }

    // MARK: - Checks

    private mutating func tieDecoder(_ source: FileSource) throws(ModelFormatError) {
        let decoder = "cls.predictions.decoder.weight"
        let saysTied = try ModelShape.saysTied(source)
        guard let own = tensors[decoder] else {
            guard saysTied else { throw .tensorMissing(file: source.place, tensor: decoder) }
            return
        }
        if let words = tensors["bert.embeddings.word_embeddings.weight"], own.isEqual(to: words) {
            tensors[decoder] = nil
        } else if saysTied {
            // Which of the two the trainer meant cannot be told from here, and they answer differently.
            throw .key(
                file: source.path("config.json"), key: "tie_word_embeddings",
                expected: "false, for \(decoder) differs from the word embeddings", found: "true")
        } else {
            isTied = false
        }
    }

    /// `decoder.bias` is another name of `predictions.bias`. A tied model has one bias, stored once or twice; in an
    /// untied one transformers trains both and adds the decoder's.
    private mutating func chooseBias() throws(ModelFormatError) {
        let name = "cls.predictions.bias"
        guard let own = tensors.removeValue(forKey: "cls.predictions.decoder.bias") else { return }
        if let other = tensors[name], isTied, !other.isEqual(to: own) {
            throw .tensorTwice(file: own.file, tensor: name, keys: [other.name, own.name])
        }
        tensors[name] = own
    }

    private func checkShapes(_ source: FileSource, _ shape: ModelShape) throws(ModelFormatError) {
        let expected = shape.expectedTensors(tied: isTied)
        for (name, sizes) in expected {
            guard let tensor = tensors[name] else { throw .tensorMissing(file: source.place, tensor: name) }
            guard tensor.shape == sizes else {
                throw .shape(file: tensor.file, tensor: tensor.name, expected: sizes, found: tensor.shape)
            }
        }
        if tensors.count > expected.count {
            let known = Set(expected.map(\.name))
            if let unknown = tensors.keys.filter({ !known.contains($0) }).min(), let tensor = tensors[unknown] {
                throw .tensorUnknown(file: tensor.file, tensor: tensor.name)
            }
        }
    }
}

extension StoredTensor {
    fileprivate func isEqual(to other: StoredTensor) -> Bool {
        guard dtype == other.dtype, shape == other.shape, byteCount == other.byteCount, byteCount > 0 else {
            return dtype == other.dtype && shape == other.shape
        }
        return withBytes { mine in
            other.withBytes { theirs in memcmp(mine.baseAddress!, theirs.baseAddress!, byteCount) == 0 }
        }
    }
}

import Foundation
import ModelFormat
import StrictJSON
import TestSupport
import Testing

@Suite("a folder that is not a model is refused, with file, tensor, expected and found")
struct BadFolderTests {
    private let folder: TemporaryFolder
    private var path: String { folder.path + "/model" }

    init() throws { folder = try TemporaryFolder() }

    /// Opens the folder, expects it to be refused, and returns the refusal's text.
    private func refusal(of folder: String? = nil) throws -> String {
        do {
            _ = try ModelContents(huggingFace: folder ?? path)
        } catch {
            return "\(error)"
        }
        Issue.record("it was accepted")
        return ""
    }

    private func expect(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
        let text = try refusal()
        for word in words { #expect(text.contains(word), "\(text)", sourceLocation: sourceLocation) }
    }

    /// A good model but for its safetensors header.
    private func write(header change: (inout [(String, JSON)]) -> Void) throws {
        let model = GoodModel()
        try model.write(to: path, weights: false)
        try put(GoodModel.safetensors(model.tensors, header: change), path + "/model.safetensors")
    }

    private func write(_ change: (inout GoodModel) -> Void) throws {
        var model = GoodModel()
        change(&model)
        try model.write(to: path)
    }

    // MARK: - Files

    @Test("a folder that is not there, or is a file")
    func noFolder() throws {
        #expect(try refusal(of: path).contains("expected a folder"))
        try put("x", path)
        #expect(try refusal(of: path).contains("expected a folder"))
    }

    @Test("a missing file", arguments: ["config.json", "vocab.txt", "model.safetensors"])
    func missingFile(name: String) throws {
        try GoodModel().write(to: path)
        try FileManager.default.removeItem(atPath: path + "/" + name)
        try expect(name)
    }

    @Test("weights in pickle alone, with the way to convert them")
    func pickle() throws {
        try GoodModel().write(to: path, weights: false)
        try put("x", path + "/pytorch_model.bin")
        try expect("expected model.safetensors", "pytorch_model.bin", "save_pretrained")
    }

    @Test("a loop of links, a FIFO, a folder in place of a file", arguments: ["config.json", "vocab.txt", "model.safetensors"])
    func notFiles(name: String) throws {
        try GoodModel().write(to: path)
        let file = path + "/" + name
        try FileManager.default.removeItem(atPath: file)
        symlink(file, file)
        try expect(name, "errno 40")
        unlink(file)
        mkfifo(file, 0o600)
        try expect(name, "ordinary file", "a FIFO")
        unlink(file)
        mkdir(file, 0o700)
        try expect(name, "ordinary file", "a folder")
    }

    // MARK: - safetensors

    @Test("a safetensors file cut off at every length")
    func truncated() throws {
        let model = GoodModel()
        try model.write(to: path)
        let whole = GoodModel.safetensors(model.tensors)
        for count in stride(from: 0, to: whole.count, by: 97) {
            try put(Array(whole.prefix(count)), path + "/model.safetensors")
            try expect("model.safetensors")
        }
    }

    @Test("bytes after the last tensor")
    func trailing() throws {
        let model = GoodModel()
        try model.write(to: path)
        try put(GoodModel.safetensors(model.tensors) + [0], path + "/model.safetensors")
        try expect("model.safetensors", "bytes of tensors")
    }

    @Test("a header length beyond the file", arguments: [UInt64.max, 1 << 63, 100_000_001, 1 << 20])
    func headerLength(length: UInt64) throws {
        let model = GoodModel()
        try model.write(to: path)
        var bytes = GoodModel.safetensors(model.tensors)
        bytes.replaceSubrange(0..<8, with: withUnsafeBytes(of: length.littleEndian, Array.init))
        try put(bytes, path + "/model.safetensors")
        try expect("model.safetensors", "expected a header of at most", "found a header of \(length)")
    }

    @Test("a header that is not JSON, is too deep, or has a key twice", arguments: ["{", "[1]", "nonsense", String(repeating: "{\"a\":", count: 100), #"{"a":1,"a":1}"#, #"{"\ud800":1}"#])
    func headerText(header: String) throws {
        try GoodModel().write(to: path, weights: false)
        try put(GoodModel.file(header: header, data: []), path + "/model.safetensors")
        try expect("model.safetensors")
    }

    private let query = "bert.encoder.layer.0.attention.self.query.weight"

    @Test("a header that lies about offsets: overlap, gap, beyond the end, backwards, negative", arguments: [(-4, 0), (4, 4), (0, 100_000), (0, -8), (-100_000, 0)])
    func lyingOffsets(begin: Int, end: Int) throws {
        try write { header in
            let index = header.firstIndex { $0.0 == query }!
            let offsets = header[index].1["data_offsets"]!.elements!.map { $0.integer! }
            header[index].1 = .entry("F32", [4, 4], offsets[0] + begin, offsets[1] + end)
        }
        try expect("model.safetensors", "expected", "found")
    }

    @Test("a shape that its bytes do not fill, or that no machine can hold", arguments: [[4, 5], [4], [1 << 62, 1 << 62], [Int.max], [0, 4], [1, 1, 1, 1, 1, 1, 1, 1, 16]])
    func lyingShape(shape: [Int]) throws {
        try write { header in
            let index = header.firstIndex { $0.0 == query }!
            let offsets = header[index].1["data_offsets"]!.elements!.map { $0.integer! }
            header[index].1 = .entry("F32", shape, offsets[0], offsets[1])
        }
        try expect("model.safetensors", "query", "expected", "found")
    }

    @Test("an entry with another key, a wrong type or a key too few", arguments: [#"{"dtype":"F32","shape":[4,4]}"#, #"{"dtype":"F32","shape":[4,4],"data_offsets":[0,64],"x":1}"#, #"{"dtype":3,"shape":[4,4],"data_offsets":[0,64]}"#, #"{"dtype":"F32","shape":[4.5,4],"data_offsets":[0,64]}"#, #"{"dtype":"F32","shape":4,"data_offsets":[0,64]}"#, #"{"dtype":"F32","shape":[4,4],"data_offsets":[0,64,65]}"#, "7"])
    func entries(entry: String) throws {
        try write { header in
            header[header.firstIndex { $0.0 == query }!].1 = try! JSON(parsing: entry.utf8)
        }
        try expect("model.safetensors", query, "expected", "found")
    }

    @Test("an unknown dtype where a weight must be", arguments: ["F64", "I8", "F8_E4M3", "f32"])
    func dtype(dtype: String) throws {
        try write { $0.change(query) { $0.dtype = dtype } }
        try expect("model.safetensors", query, "F32, F16 or BF16", dtype)
    }

    // MARK: - Tensors

    @Test("a wrong shape names file, tensor, expected and found")
    func wrongShape() throws {
        try write { $0.change(query) { $0.shape = [2, 8] } }
        try expect("model.safetensors", query, "expected shape [4, 4]", "found [2, 8]")
    }

    @Test("a missing tensor", arguments: [0, 5, 12, 20])
    func missingTensor(index: Int) throws {
        let name = GoodModel().tensors[index].name
        try write { $0.tensors.remove(at: index) }
        try expect(name, "expected tensor", "found none")
    }

    @Test("a tensor that no BERT has")
    func unknownTensor() throws {
        try write { $0.tensors.append(.init(name: "bert.adapter.weight", shape: [1], bytes: [0, 0, 0, 0])) }
        try expect("model.safetensors", "bert.adapter.weight")
    }

    @Test("two names for one tensor with different values")
    func twoNames() throws {
        try write { model in
            var twin = model.tensors[3]
            twin.name = "cls.predictions.decoder.bias"
            twin.bytes[0] ^= 1
            model.tensors.append(twin)
        }
        try expect("cls.predictions.bias", "cls.predictions.decoder.bias")
    }

    @Test("a decoder of its own in a model that says it is tied, and none in one that says it is not")
    func decoders() throws {
        try write { $0.tensors.append(.init(name: "cls.predictions.decoder.weight", shape: [7, 4], bytes: Array(repeating: 1, count: 112))) }
        try expect("config.json", "tie_word_embeddings", "cls.predictions.decoder.weight")
        try FileManager.default.removeItem(atPath: path)
        try write { $0.config.append(("tie_word_embeddings", false)) }
        try expect("cls.predictions.decoder.weight")
    }

    @Test("weights that are no numbers are found, with tensor and element", arguments: [Float.nan, .infinity, -.infinity])
    func notFinite(value: Float) throws {
        try write { $0.change(query) { $0.bytes.replaceSubrange(8..<12, with: withUnsafeBytes(of: value.bitPattern, Array.init)) } }
        let contents = try ModelContents(huggingFace: path)
        for tensor in contents.tensors where tensor.name != query { try tensor.checkFinite() }
        #expect(throws: ModelFormatError.notFinite(file: path + "/model.safetensors", tensor: query, index: 2)) {
            try contents[query]!.checkFinite()
        }
    }

    // MARK: - Shards

    private func writeShards(map change: (inout [(String, JSON)]) -> Void = { _ in }) throws {
        let model = GoodModel()
        try model.write(to: path, weights: false)
        let (one, two) = (Array(model.tensors.prefix(9)), Array(model.tensors.dropFirst(9)))
        try put(GoodModel.safetensors(one), path + "/model-00001-of-00002.safetensors")
        try put(GoodModel.safetensors(two), path + "/model-00002-of-00002.safetensors")
        var map: [(String, JSON)] = one.map { ($0.name, "model-00001-of-00002.safetensors") }
            + two.map { ($0.name, "model-00002-of-00002.safetensors") }
        change(&map)
        let index: JSON = ["metadata": ["total_size": 0], "weight_map": .object(map.map { .init($0.0, $0.1) })]
        try put(index.serialized, path + "/model.safetensors.index.json")
    }

    @Test("shards that are whole are taken")
    func shards() throws {
        try writeShards()
        _ = try ModelContents(huggingFace: path)
    }

    @Test("a shard that is missing, elsewhere, or without the tensor it should hold")
    func badShards() throws {
        try writeShards { $0[0].1 = "model-00003-of-00002.safetensors" }
        try expect("model-00003-of-00002.safetensors")
        try writeShards { $0[0].1 = "../model.safetensors" }
        try expect("weight_map.\(GoodModel().tensors[0].name)", "of this folder", "../model.safetensors")
        try writeShards { $0[0].1 = "model-00002-of-00002.safetensors" }
        try expect("model-00002-of-00002.safetensors", GoodModel().tensors[0].name)
        try writeShards { $0.removeLast() }
        try expect("index.json", GoodModel().tensors.last!.name)
    }

    // MARK: - Configuration and vocabulary

    @Test(
        "a configuration that is absurd or of another kind of model",
        arguments: [
            ("model_type", "gpt2"), ("is_decoder", true), ("position_embedding_type", "relative_key"),
            ("hidden_act", "swish"), ("hidden_act", 3), ("layer_norm_eps", 0), ("layer_norm_eps", "x"),
            ("num_hidden_layers", 0), ("num_hidden_layers", 100_000), ("hidden_size", -4), ("hidden_size", 1_099_511_627_776),
            ("num_attention_heads", 3), ("intermediate_size", "6"), ("vocab_size", 1_125_899_906_842_624), ("max_position_embeddings", 0),
            ("tie_word_embeddings", "yes"),
        ] as [(String, JSON)])
    func config(key: String, value: JSON) throws {
        try write { model in
            model.config.removeAll { $0.0 == key }
            model.config.append((key, value))
        }
        try expect("config.json", key, "expected", "found")
    }

    @Test("a vocabulary of the wrong length, with a piece twice, or of bytes that are no UTF-8")
    func vocabulary() throws {
        try write { $0.pieces.append("岸") }
        try expect("vocab.txt", "expected 7 pieces", "found 8")
        try write { $0.pieces[6] = "春" }
        try expect("vocab.txt, line 7", "春")
        try put([0xFF, 0x0A], path + "/vocab.txt")
        try expect("vocab.txt, line 1", "UTF-8")
    }

    @Test("tiankong.json with an unknown key, a bad epoch or a bad release", arguments: [#"{"epochs":1}"#, #"{"epoch":-1}"#, #"{"epoch":"1"}"#, #"{"release":""}"#, #"{"calibration":[]}"#, "[]", "{"])
    func own(text: String) throws {
        try GoodModel().write(to: path)
        try put(text, path + "/tiankong.json")
        try expect("tiankong.json")
    }
}

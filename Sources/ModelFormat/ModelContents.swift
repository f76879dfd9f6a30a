public import Disk
import StrictJSON

/// A version's contents: everything that decides what it answers, and nothing else. Immutable; its tensors stay where
/// they are mapped.
public struct ModelContents: Sendable {
    public let shape: ModelShape
    public let tokenizer: TokenizerSettings
    /// Pieces in the order of their ids.
    public let pieces: [String]
    /// By canonical name, sorted; a tied decoder is not among them.
    public let tensors: [StoredTensor]
    /// The calibration's JSON as it stands, or nil.
    public let calibration: [UInt8]?
    public let release: String?
    public let epoch: Int
    /// The line it belongs to, where its folder says so; else it begins one.
    public let line: Fingerprint?
    private let byName: [String: StoredTensor]

    public subscript(_ name: String) -> StoredTensor? { byName[name] }

    /// The decoder's weights are the word embeddings.
    public var isTied: Bool { byName[VersionIdentity.decoder] == nil }

    /// From parts that a store has kept. Shapes are checked again: what is mapped is not what was written if the disk
    /// says so.
    public init(
        shape: ModelShape, tokenizer: TokenizerSettings, pieces: [String], tensors: [StoredTensor],
        calibration: [UInt8]?, release: String?, epoch: Int, line: Fingerprint? = nil
    ) throws(ModelFormatError) {
        self.shape = shape
        self.tokenizer = tokenizer
        self.pieces = pieces
        self.tensors = tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        self.calibration = calibration
        self.release = release
        self.epoch = epoch
        self.line = line
        byName = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
        guard pieces.count == shape.vocabulary else {
            throw .vocabulary(file: "vocabulary", expected: "\(shape.vocabulary) pieces", found: "\(pieces.count)")
        }
        for (name, sizes) in shape.expectedTensors(tied: byName[VersionIdentity.decoder] == nil) {
            guard let tensor = byName[name] else { throw .tensorMissing(file: "version", tensor: name) }
            guard tensor.shape == sizes else {
                throw .shape(file: "version", tensor: name, expected: sizes, found: tensor.shape)
            }
        }
    }

    /// A Hugging Face folder. Digests and finite numbers are for who imports; here nothing is read but headers.
    public init(huggingFace folder: String) throws(ModelFormatError) {
        guard Disk().isFolder(folder) else {
            throw .fileMissing(folder: folder, expected: "a folder")
        }
        try self.init(.folder(folder))
    }

    /// The files of such a folder, by name, inside the binary.
    public init(embedded files: [String: SharedBytes]) throws(ModelFormatError) {
        try self.init(.embedded(files))
    }

    private init(_ source: FileSource) throws(ModelFormatError) {
        let shape = try ModelShape(source)
        let vocabulary = try HuggingFaceVocabulary(source, count: shape.vocabulary)
        let weights = try HuggingFaceWeights(source, shape)
        let own = try OwnFile(source)
        try self.init(
            shape: shape, tokenizer: vocabulary.settings, pieces: vocabulary.pieces,
            tensors: weights.tensors.map { $0.value.named($0.key) }, calibration: own.calibration,
            release: own.release, epoch: own.epoch, line: own.line)
    }
}

/// `tiankong.json`: what a version carries that a Hugging Face folder has no place for.
private struct OwnFile {
    var calibration: [UInt8]?
    var release: String?
    var epoch = 0
    var line: Fingerprint?

    init(_ source: FileSource) throws(ModelFormatError) {
        guard source.has("tiankong.json") else { return }
        let file = try ConfigurationFile(source, "tiankong.json")
        let known = ["calibration", "release", "epoch", "line"]
        if let unknown = file.json.members?.first(where: { !known.contains($0.key) }) {
            throw .key(
                file: file.path, key: unknown.key, expected: "one of " + known.joined(separator: ", "),
                found: unknown.key)
        }
        if let calibration = file.value("calibration") {
            guard calibration.members != nil else { throw file.wrong("calibration", "an object") }
            _ = try Calibration(calibration, file: file.path)
            self.calibration = Array(calibration.serialized.utf8)
        }
        if let release = file.value("release") {
            guard let text = release.string, !text.isEmpty, text.utf8.count <= 100 else {
                throw file.wrong("release", "a text of 1 to 100 bytes")
            }
            self.release = text
        }
        if let line = file.value("line") {
            guard let fingerprint = line.string.flatMap(Fingerprint.init) else { throw file.wrong("line", "64 hexadecimal digits") }
            self.line = fingerprint
        }
        epoch = try file.integer("epoch", in: 0...Int(Int32.max), fallback: 0)
    }
}

/// What a tensor is, without its bytes.
public struct TensorEntry: Sendable, Hashable {
    public let name: String
    public let dtype: DType
    public let shape: [Int]
    /// SHA-256 of the bytes as they are stored.
    public let digest: Digest

    public init(name: String, dtype: DType, shape: [Int], digest: Digest) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.digest = digest
    }
}

/// Everything a fingerprint speaks of.
public struct VersionIdentity: Sendable {
    public static let embeddings = "bert.embeddings.word_embeddings.weight"
    public static let decoder = "cls.predictions.decoder.weight"

    public let shape: ModelShape
    public let tokenizer: TokenizerSettings
    public let vocabulary: Digest
    public let calibration: Digest?
    /// Sorted by name, bytewise; a decoder equal to the word embeddings is tied and not among them.
    public let tensors: [TensorEntry]

    public init(
        shape: ModelShape, tokenizer: TokenizerSettings, vocabulary: Digest, calibration: Digest?,
        tensors: [TensorEntry]
    ) {
        self.shape = shape
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.calibration = calibration
        let words = tensors.first { $0.name == Self.embeddings }
        self.tensors = tensors.filter { $0.name != Self.decoder || $0.digest != words?.digest || $0.dtype != words?.dtype }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    /// The text whose SHA-256 is the version's fingerprint; a line each, every line ended by LF:
    ///
    ///     tiankong-version 1
    ///     shape LAYERS HIDDEN HEADS FFN POSITIONS TYPES VOCABULARY ACTIVATION EPSILON
    ///     tokenizer LOWER ACCENTS CJK
    ///     vocabulary SHA256
    ///     calibration SHA256 or -
    ///     tensor NAME DTYPE SHAPE SHA256        (sorted by name, bytewise)
    ///
    /// EPSILON is the double's bit pattern in 16 hexadecimal digits; ACTIVATION is gelu, gelu_new or relu; LOWER,
    /// ACCENTS and CJK are 0 or 1, ACCENTS being what lower implies where it is not set; SHAPE is sizes joined by `x`;
    /// the vocabulary's digest is that of the pieces joined by LF, a tensor's that of its bytes as stored.
    public var text: String {
        let bits = String(shape.epsilon.bitPattern, radix: 16)
        let epsilon = String(repeating: "0", count: 16 - bits.count) + bits
        let sizes = [
            shape.layers, shape.hidden, shape.heads, shape.feedForward, shape.positions, shape.types, shape.vocabulary,
        ]
        var lines = [
            "tiankong-version 1",
            "shape " + sizes.map(String.init).joined(separator: " ") + " \(shape.activation.rawValue) \(epsilon)",
            "tokenizer \(flag(tokenizer.lower)) \(flag(tokenizer.accents ?? tokenizer.lower)) \(flag(tokenizer.cjk))",
            "vocabulary \(vocabulary)",
            "calibration " + (calibration.map { "\($0)" } ?? "-"),
        ]
        for tensor in tensors {
            let shape = tensor.shape.map(String.init).joined(separator: "x")
            lines.append("tensor \(tensor.name) \(tensor.dtype.rawValue) \(shape) \(tensor.digest)")
        }
        return lines.map { $0 + "\n" }.joined()
    }

    public var fingerprint: Fingerprint { Fingerprint(Digest(of: Array(text.utf8))) }

    private func flag(_ bool: Bool) -> String { bool ? "1" : "0" }
}

extension ModelContents {
    /// - Parameter digests: of every tensor, by name.
    /// - Precondition: none lacks.
    public func identity(digests: [String: Digest]) -> VersionIdentity {
        VersionIdentity(
            shape: shape, tokenizer: tokenizer, vocabulary: vocabularyDigest,
            calibration: calibration.map { Digest(of: $0) },
            tensors: tensors.map { tensor in
                guard let digest = digests[tensor.name] else { preconditionFailure("no digest of \(tensor.name)") }
                return TensorEntry(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, digest: digest)
            })
    }

    public func fingerprint(digests: [String: Digest]) -> Fingerprint { identity(digests: digests).fingerprint }

    /// Of the pieces joined by LF.
    public var vocabularyDigest: Digest { Digest(of: Array(pieces.joined(separator: "\n").utf8)) }

    /// Of every tensor; reads every byte, on as many threads as there are lanes.
    public func digests(lanes: Int = 2) async -> [String: Digest] {
        let tensors = tensors.sorted { $0.byteCount > $1.byteCount }
        let digests = await Lanes.map(tensors, lanes: lanes) { $0.digest() }
        return Dictionary(zip(tensors.map(\.name), digests)) { first, _ in first }
    }
}

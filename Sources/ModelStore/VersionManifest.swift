public import ModelFormat
public import StrictJSON

/// What the store knows of a version; its tensors are named by their digests.
public struct VersionManifest: Sendable {
    public enum Origin: String, Sendable {
        /// `tiankong import`.
        case imported
        /// The default model inside the binary.
        case embedded
        /// Made from another version by a patch.
        case patched
    }

    /// A patch's part in a version.
    public struct Patch: Sendable {
        public let base: Fingerprint
        public let identity: Digest
        /// The principal that signed; nil for an unsigned one.
        public let signer: String?
        /// The signed part of the dossier.
        public let dossier: JSON?
    }

    struct Tensor: Sendable {
        let entry: TensorEntry
        /// nil: a file of its own, named by its digest. Else the bytes are another tensor's with some rows changed.
        var rows: Rows?
        /// A patch changed it, this version's or one before on its line. Said here, for the version that the line began with
        /// is not kept for ever.
        var isLearned = false

        struct Rows: Sendable {
            let source: Digest
            let payload: Digest
        }
    }

    public let fingerprint: Fingerprint
    public let release: String
    public let epoch: Int
    /// The line's name: the fingerprint of the import it began with.
    public let line: Fingerprint
    public let origin: Origin
    /// RFC 3339, UTC.
    public let created: String
    public let patch: Patch?
    let shape: ModelShape
    let tokenizer: TokenizerSettings
    let vocabulary: Digest
    let calibration: String?
    let tensors: [Tensor]

    static let format: Int64 = 1
}

extension VersionManifest {
    var json: JSON {
        [
            "format": .integer(Self.format),
            "fingerprint": .string("\(fingerprint)"),
            "line": .string("\(line)"),
            "release": .string(release),
            "epoch": .integer(Int64(epoch)),
            "origin": .string(origin.rawValue),
            "created": .string(created),
            "patch": patch?.json ?? .null,
            "shape": [
                "layers": .integer(Int64(shape.layers)), "hidden": .integer(Int64(shape.hidden)),
                "heads": .integer(Int64(shape.heads)), "ffn": .integer(Int64(shape.feedForward)),
                "positions": .integer(Int64(shape.positions)), "types": .integer(Int64(shape.types)),
                "vocabulary": .integer(Int64(shape.vocabulary)), "activation": .string(shape.activation.rawValue),
                "epsilon": .real(shape.epsilon),
            ],
            "tokenizer": [
                "lower": .bool(tokenizer.lower), "accents": tokenizer.accents.map { .bool($0) } ?? .null,
                "cjk": .bool(tokenizer.cjk),
            ],
            "vocabulary": .string("\(vocabulary)"),
            "calibration": calibration.map { .string($0) } ?? .null,
            "tensors": .array(
                tensors.map { tensor in
                    [
                        "name": .string(tensor.entry.name), "dtype": .string(tensor.entry.dtype.rawValue),
                        "shape": .array(tensor.entry.shape.map { .integer(Int64($0)) }),
                        "sha256": .string("\(tensor.entry.digest)"),
                        "rows": tensor.rows.map { ["source": .string("\($0.source)"), "payload": .string("\($0.payload)")] }
                            ?? .null,
                        "learned": .bool(tensor.isLearned),
                    ]
                }),
        ]
    }

    /// - Throws: `.damaged`: it is not what `json` writes.
    init(_ json: JSON, file: String) throws(StoreError) {
        let reader = Reader(json: json, file: file)
        guard try reader.integer("format") == Self.format else { throw reader.damaged("format \(Self.format)") }
        fingerprint = try reader.digest("fingerprint", Fingerprint.init)
        line = try reader.digest("line", Fingerprint.init)
        release = try reader.string("release")
        epoch = Int(try reader.integer("epoch"))
        guard let origin = Origin(rawValue: try reader.string("origin")) else { throw reader.damaged("an origin") }
        self.origin = origin
        created = try reader.string("created")
        patch = try reader.patch()
        shape = try reader.shape()
        tokenizer = try reader.tokenizer()
        vocabulary = try reader.digest("vocabulary", Digest.init)
        calibration = json["calibration"]?.string
        tensors = try reader.tensors()
    }
}

private struct Reader {
    let json: JSON
    let file: String

    func damaged(_ expected: String) -> StoreError {
        .damaged(file: file, expected: expected, found: "something else")
    }

    func string(_ key: String) throws(StoreError) -> String {
        guard let string = json[key]?.string else { throw damaged("a string at \(key)") }
        return string
    }

    func integer(_ key: String) throws(StoreError) -> Int {
        guard let integer = json[key]?.integer else { throw damaged("a whole number at \(key)") }
        return integer
    }

    func digest<Digest>(_ key: String, _ parse: (String) -> Digest?) throws(StoreError) -> Digest {
        guard let digest = parse(try string(key)) else { throw damaged("64 hexadecimal digits at \(key)") }
        return digest
    }

    private func inner(_ key: String) throws(StoreError) -> Reader {
        guard let value = json[key] else { throw damaged("an object at \(key)") }
        return Reader(json: value, file: file)
    }

    func shape() throws(StoreError) -> ModelShape {
        let shape = try inner("shape")
        guard let activation = Activation(rawValue: try shape.string("activation")),
            let epsilon = shape.json["epsilon"]?.real
        else { throw damaged("an activation and an epsilon") }
        return ModelShape(
            layers: try shape.integer("layers"), hidden: try shape.integer("hidden"),
            heads: try shape.integer("heads"), feedForward: try shape.integer("ffn"),
            positions: try shape.integer("positions"), types: try shape.integer("types"),
            vocabulary: try shape.integer("vocabulary"), activation: activation, epsilon: epsilon)
    }

    func tokenizer() throws(StoreError) -> TokenizerSettings {
        let tokenizer = try inner("tokenizer").json
        guard let lower = tokenizer["lower"]?.bool, let cjk = tokenizer["cjk"]?.bool else {
            throw damaged("booleans in tokenizer")
        }
        return TokenizerSettings(lower: lower, accents: tokenizer["accents"]?.bool, cjk: cjk)
    }

    func patch() throws(StoreError) -> VersionManifest.Patch? {
        guard json["patch"]?.members != nil else { return nil }
        let reader = try inner("patch")
        return .init(
            base: try reader.digest("base", Fingerprint.init), identity: try reader.digest("identity", Digest.init),
            signer: reader.json["signer"]?.string, dossier: reader.json["dossier"].flatMap { $0.members == nil ? nil : $0 })
    }

    func rows() throws(StoreError) -> VersionManifest.Tensor.Rows? {
        guard json["rows"]?.members != nil else { return nil }
        let reader = try inner("rows")
        return .init(source: try reader.digest("source", Digest.init), payload: try reader.digest("payload", Digest.init))
    }

    func tensors() throws(StoreError) -> [VersionManifest.Tensor] {
        guard let elements = json["tensors"]?.elements else { throw damaged("a list at tensors") }
        var tensors: [VersionManifest.Tensor] = []
        for element in elements {
            let reader = Reader(json: element, file: file)
            guard let dtype = DType(rawValue: try reader.string("dtype")),
                let shape = element["shape"]?.elements?.compactMap(\.integer)
            else { throw damaged("a dtype and a shape in tensors") }
            tensors.append(
                VersionManifest.Tensor(
                    entry: TensorEntry(
                        name: try reader.string("name"), dtype: dtype, shape: shape,
                        digest: try reader.digest("sha256", Digest.init)),
                    // Manifests written before eight bits say nothing of it.
                    rows: try reader.rows(), isLearned: element["learned"]?.bool ?? false))
        }
        return tensors
    }
}

extension VersionManifest.Patch {
    fileprivate var json: JSON {
        [
            "base": .string("\(base)"), "identity": .string("\(identity)"), "signer": signer.map { .string($0) } ?? .null,
            "dossier": dossier ?? .null,
        ]
    }
}

extension VersionManifest {
    /// What its fingerprint speaks of.
    public var identity: VersionIdentity {
        VersionIdentity(
            shape: shape, tokenizer: tokenizer, vocabulary: vocabulary,
            calibration: calibration.map { Digest(of: Array($0.utf8)) }, tensors: tensors.map(\.entry))
    }
}

import ModelFormat
import StrictJSON

extension PatchManifest {
    /// - Parameters:
    ///   - bytes: the manifest as it stands in the file, its signature already found good.
    ///   - framesLength: bytes after the first frame, which the frames must fill exactly.
    init(_ bytes: [UInt8], framesLength: Int, file: String) throws(PatchError) {
        let json: JSON
        do { json = try JSON(parsing: bytes) } catch { throw .manifestJSON(file: file, error) }
        let reader = ObjectReader(json: json, path: "", file: file)
        guard json.members != nil else { throw reader.wrong("", "an object", json.kind) }
        switch try reader.text("kind", most: 20) {
        case "patch": self = .patch(try PatchPlan(reader))
        case "rollback": self = .order(try RollbackOrder(reader))
        case let kind: throw reader.wrong("kind", "patch or rollback", kind)
        }
        var frames = 0
        if case .patch(let plan) = self {
            frames = plan.frames.reduce(0) { $0 + $1.compressed }
        }
        guard frames == framesLength else {
            throw reader.wrong("frames", "\(framesLength) compressed bytes in all", "\(frames)")
        }
    }
}

extension PatchPlan {
    static let mostFrames = 4096

    fileprivate init(_ reader: ObjectReader) throws(PatchError) {
        try reader.only(["kind", "base", "target", "line", "release", "epoch", "created", "calibration", "dossier", "frames"])
        base = try reader.fingerprint("base")
        target = try reader.fingerprint("target")
        line = try reader.fingerprint("line")
        release = try reader.line("release", most: 100)
        guard !release.isEmpty else { throw reader.wrong("release", "a name", "none") }
        epoch = try reader.integer("epoch", in: 1...Int(Int32.max))
        created = try reader.line("created", most: 40)
        calibration = try reader.optional("calibration") { value in value.string.flatMap(Self.calibration) }
        dossier = try reader.optional("dossier") { value in value.members == nil ? nil : value }
        guard base != target else { throw reader.wrong("target", "another version than the base", "\(target)") }
        guard let elements = try reader.value("frames").elements, elements.count <= Self.mostFrames else {
            throw reader.wrong("frames", "a list of at most \(Self.mostFrames)", "\(try reader.value("frames").elements?.count ?? 0)")
        }
        var frames: [PatchFrame] = []
        var names: Set<String> = []
        for (index, element) in elements.enumerated() {
            let frame = try PatchFrame(ObjectReader(json: element, path: "frames[\(index)].", file: reader.file))
            guard names.insert(frame.tensor).inserted else {
                throw reader.wrong("frames[\(index)].tensor", "each tensor once", frame.tensor)
            }
            frames.append(frame)
        }
        self.frames = frames
    }

    /// As `export` and `import` write it, else the version would have another fingerprint after them.
    private static func calibration(_ text: String) -> String? {
        guard let json = try? JSON(parsing: Array(text.utf8)), json.members != nil, json.serialized == text else { return nil }
        return text
    }
}

extension RollbackOrder {
    fileprivate init(_ reader: ObjectReader) throws(PatchError) {
        try reader.only(["kind", "line", "to", "epoch", "reason"])
        line = try reader.fingerprint("line")
        to = try reader.fingerprint("to")
        epoch = try reader.integer("epoch", in: 1...Int(Int32.max))
        reason = try reader.line("reason", most: 1000)
    }
}

extension PatchFrame {
    fileprivate init(_ reader: ObjectReader) throws(PatchError) {
        try reader.only(["tensor", "shape", "dtype", "op", "encoding", "compressed", "exact", "sha256", "result"])
        tensor = try reader.line("tensor", most: 200)
        guard !tensor.isEmpty, tensor.utf8.allSatisfy(Self.isOfName) else {
            throw reader.wrong("tensor", "a name of letters, digits, '.', '_' and '-'", tensor)
        }
        shape = try reader.shape("shape")
        dtype = try reader.choice("dtype")
        operation = try reader.choice("op")
        encoding = try reader.choice("encoding")
        compressed = try reader.integer("compressed", in: 1...(1 << 34))
        exact = try reader.integer("exact", in: 1...(1 << 34))
        digest = try reader.digest("sha256")
        result = try reader.digest("result")
        guard isPossible(exact) else {
            throw reader.wrong("exact", "a length that \(operation.rawValue) \(encoding.rawValue) of that shape can have", "\(exact)")
        }
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// What op, encoding and shape allow: the cap of memory is in the format, not in what a frame says.
    private func isPossible(_ length: Int) -> Bool {
        let bytes = count * dtype.width
        switch (operation, encoding) {
        case (.replace, .raw): return length == bytes
        case (.delta, .exact): return length == count * 4
        case (.delta, .compact): return length == count + rowCount * 4
        case (.rows, .raw):
            let row = 4 + rowLength * dtype.width
            return shape.count == 2 && length <= 4 + rowCount * row && length >= 4 && (length - 4).isMultiple(of: row)
        default: return false
        }
    }
}

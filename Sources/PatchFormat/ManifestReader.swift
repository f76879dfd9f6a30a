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
        release = try reader.text("release", most: 100)
        guard !release.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }), !release.isEmpty else {
            throw reader.wrong("release", "a name on one line", release)
        }
        epoch = try reader.integer("epoch", in: 1...Int(Int32.max))
        created = try reader.text("created", most: 40)
        calibration = try reader.optional("calibration") { value in value.string }
        dossier = try reader.optional("dossier") { value in value.members == nil ? nil : value }
        guard base != target else { throw reader.wrong("target", "another version than the base", "\(target)") }
        guard let elements = try reader.value("frames").elements, elements.count <= Self.mostFrames else {
            throw reader.wrong("frames", "a list of at most \(Self.mostFrames)", "something else")
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
}

extension RollbackOrder {
    fileprivate init(_ reader: ObjectReader) throws(PatchError) {
        try reader.only(["kind", "line", "to", "epoch", "reason"])
        line = try reader.fingerprint("line")
        to = try reader.fingerprint("to")
        epoch = try reader.integer("epoch", in: 1...Int(Int32.max))
        reason = try reader.text("reason", most: 1000)
    }
}

extension PatchFrame {
    fileprivate init(_ reader: ObjectReader) throws(PatchError) {
        try reader.only(["tensor", "shape", "dtype", "op", "encoding", "compressed", "exact", "sha256", "result"])
        tensor = try reader.text("tensor", most: 200)
        let sizes = try reader.value("shape").elements?.compactMap(\.integer)
        guard let sizes, sizes.count == (try reader.value("shape").elements?.count), (1...2).contains(sizes.count),
            sizes.allSatisfy({ (1...(1 << 28)).contains($0) }), sizes.reduce(1, *) <= 1 << 31
        else { throw reader.wrong("shape", "one or two sizes", "something else") }
        shape = sizes
        dtype = try reader.choice("dtype")
        operation = try reader.choice("op")
        encoding = try reader.choice("encoding")
        compressed = try reader.integer("compressed", in: 1...(1 << 34))
        exact = try reader.integer("exact", in: 1...(1 << 34))
        digest = try reader.digest("sha256")
        result = try reader.digest("result")
        guard possibleLengths.contains(exact) else {
            throw reader.wrong("exact", "a length that \(operation.rawValue) \(encoding.rawValue) of that shape can have", "\(exact)")
        }
    }

    /// What op, encoding and shape allow: the cap of memory is in the format, not in what a frame says.
    private var possibleLengths: ClosedRange<Int> {
        let bytes = count * dtype.width
        switch (operation, encoding) {
        case (.replace, .raw): return bytes...bytes
        case (.delta, .exact): return count * 4...count * 4
        case (.delta, .compact): return count + rowCount * 4...count + rowCount * 4
        case (.rows, .raw): return 4...4 + rowCount * 4 + bytes
        default: return 0...0
        }
    }
}

/// Members of one JSON object, each read once and none left over.
struct ObjectReader {
    let json: JSON
    let path: String
    let file: String

    func wrong(_ key: String, _ expected: String, _ found: String) -> PatchError {
        .manifest(file: file, key: path + key, expected: expected, found: String(found.prefix(200)))
    }

    func only(_ keys: [String]) throws(PatchError) {
        guard let members = json.members else { throw wrong("", "an object", json.kind) }
        if let unknown = members.first(where: { !keys.contains($0.key) }) {
            throw wrong(unknown.key, "one of " + keys.joined(separator: ", "), "an unknown key")
        }
    }

    func value(_ key: String) throws(PatchError) -> JSON {
        guard let value = json[key] else { throw wrong(key, "a value", "none") }
        return value
    }

    func text(_ key: String, most: Int) throws(PatchError) -> String {
        let value = try value(key)
        guard let text = value.string else { throw wrong(key, "a text", value.kind) }
        guard text.utf8.count <= most else { throw wrong(key, "at most \(most) bytes", "\(text.utf8.count)") }
        return text
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(PatchError) -> Int {
        let value = try value(key)
        guard let number = value.integer, range.contains(number) else {
            throw wrong(key, "a whole number from \(range.lowerBound) to \(range.upperBound)", value.serialized)
        }
        return number
    }

    func digest(_ key: String) throws(PatchError) -> Digest {
        let text = try text(key, most: 200)
        guard let digest = Digest(text) else { throw wrong(key, "64 hexadecimal digits", text) }
        return digest
    }

    func fingerprint(_ key: String) throws(PatchError) -> Fingerprint {
        let text = try text(key, most: 200)
        guard let fingerprint = Fingerprint(text) else { throw wrong(key, "64 hexadecimal digits", text) }
        return fingerprint
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String) throws(PatchError) -> Choice {
        let text = try text(key, most: 40)
        guard let choice = Choice(rawValue: text) else {
            throw wrong(key, "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "), text)
        }
        return choice
    }

    /// nil where the value is null.
    func optional<Value>(_ key: String, _ read: (JSON) -> Value?) throws(PatchError) -> Value? {
        let value = try value(key)
        if case .null = value { return nil }
        guard let read = read(value) else { throw wrong(key, "null or a value of the right kind", value.kind) }
        return read
    }
}

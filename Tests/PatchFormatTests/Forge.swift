import Testing
import Disk
import ModelFormat
import PatchFormat
import Signing
import StrictJSON

/// Patches written by hand from the format's description: right, but for what a test makes wrong.
struct Forge {
    static let key = SSHPrivateKey()

    static var trust: Trust {
        get throws { .signers(try AllowedSigners("forger \(key.publicKey)", file: "signers"), now: 0) }
    }

    /// The manifest's members in their order.
    var members: [(String, JSON)]
    /// Compressed.
    var frames: [[UInt8]] = []

    init(base: Fingerprint, target: Fingerprint) {
        members = [
            ("kind", "patch"), ("base", .string("\(base)")), ("target", .string("\(target)")), ("line", .string("\(base)")),
            ("release", "forged"), ("epoch", 1), ("created", "2026-11-25T03:12:49Z"), ("calibration", .null), ("dossier", .null),
            ("frames", []),
        ]
    }

    subscript(_ key: String) -> JSON? {
        get { members.first { $0.0 == key }?.1 }
        set {
            let index = members.firstIndex { $0.0 == key }
            switch (index, newValue) {
            case (let index?, let value?): members[index].1 = value
            case (let index?, nil): members.remove(at: index)
            case (nil, let value?): members.append((key, value))
            case (nil, nil): break
            }
        }
    }

    /// - Parameters:
    ///   - compressed: of other bytes than those of `contents`.
    ///   - wrong: members of the frame that are to be others, or more.
    mutating func add(
        _ tensor: String, _ shape: [Int], _ operation: String, _ encoding: String, _ contents: [UInt8], result: [UInt8],
        dtype: DType = .f32, compressed: [UInt8]? = nil, wrong: [(String, JSON)] = []
    ) {
        let frame = compressed ?? Self.zstd(contents)
        var forged = Forge(members: [
            ("tensor", .string(tensor)), ("shape", .array(shape.map { .integer(Int64($0)) })), ("dtype", .string(dtype.rawValue)),
            ("op", .string(operation)), ("encoding", .string(encoding)), ("compressed", .integer(Int64(frame.count))),
            ("exact", .integer(Int64(contents.count))), ("sha256", .string("\(Digest(of: frame))")),
            ("result", .string("\(Digest(of: result))")),
        ])
        for (key, value) in wrong { forged[key] = value }
        self["frames"] = .array((self["frames"]?.elements ?? []) + [forged.json])
        frames.append(frame)
    }

    private init(members: [(String, JSON)]) { self.members = members }

    var json: JSON { .object(members.map { .init($0.0, $0.1) }) }

    func signed() throws -> [UInt8] { try Self.signed(manifest: Array(json.serialized.utf8), frames: frames.flatMap { $0 }) }

    static func signed(manifest: [UInt8], frames: [UInt8]) throws -> [UInt8] {
        let signature = try SSHSignature(signing: manifest, with: key, namespace: PatchFile.namespace).blob
        return PatchHeader(manifest: manifest.count, signature: signature.count, frames: frames.count).bytes + manifest + signature + frames
    }

    /// A zstd frame of raw blocks (RFC 8878).
    static func zstd(_ contents: [UInt8]) -> [UInt8] {
        var bytes = little([0xFD2F_B528 as UInt32]) + [0xA0] + little([UInt32(contents.count)])
        for start in stride(from: 0, to: max(contents.count, 1), by: 1 << 17) {
            let end = min(start + 1 << 17, contents.count)
            bytes += block(0, end - start, isLast: end == contents.count) + contents[start..<end]
        }
        return bytes
    }

    static func block(_ kind: Int, _ size: Int, isLast: Bool) -> [UInt8] {
        Array(little([UInt32(size << 3 | kind << 1 | (isLast ? 1 : 0))]).prefix(3))
    }

    /// Zeros, 4 bytes for each 128 KiB of them.
    static func bomb(_ size: Int, header: [UInt8]) -> [UInt8] {
        var bytes = little([0xFD2F_B528 as UInt32]) + header
        for start in stride(from: 0, to: size, by: 1 << 17) {
            bytes += block(1, min(1 << 17, size - start), isLast: start + 1 << 17 >= size) + [0]
        }
        return bytes
    }
}

/// What the appliance does with a patch, in its order; the tensors it makes.
func applied(_ bytes: [UInt8], to base: ModelContents, _ identity: VersionIdentity, trust: Trust? = nil) throws -> (PatchPlan, [String: [UInt8]]) {
    let patch = try PatchFile(shared(bytes), name: "p")
    guard case .patch(let plan) = try patch.opened(trust ?? Forge.trust).manifest else { return try #require(nil) }
    guard plan.base == identity.fingerprint else {
        throw PatchError.base(tensor: "fingerprint", expected: "\(plan.base)", found: "\(identity.fingerprint)")
    }
    let result = plan.identity(base: identity).fingerprint
    guard result == plan.target else { throw PatchError.fingerprint(expected: "\(plan.target)", found: "\(result)") }
    let room = MergeRoom()
    var made: [String: [UInt8]] = [:]
    for (frame, start) in zip(plan.frames, plan.starts) {
        made[frame.tensor] = try patch.merge(frame, at: start, onto: base, in: room, failing: { $0 }) { merged throws(PatchError) in
            merged.bytes.withBytes { Array($0) }
        }
    }
    return (plan, made)
}

/// The first frame of a patch, a skippable one for zstd (RFC 8878, section 3.1.2), little-endian:
///
///      0  50 2A 4D 18        skippable frame
///      4  u32                28 + M + S
///      8  "TIANKONG"
///     16  u32                format, 1
///     20  u32 M              bytes of manifest, 1 to 8 MiB
///     24  u32 S              bytes of signature, 0 (unsigned) to 4096
///     28  u64 W              bytes of the whole file
///     36  M bytes            manifest (JSON, UTF-8): what is signed, as it stands
///     36+M  S bytes          signature (SSHSIG without armour)
///     36+M+S                 tensor frames, back to back; the last one ends the file
public struct PatchHeader: Sendable, Equatable {
    public static let size = 36
    public static let mostManifest = 8 << 20
    public static let mostSignature = 4096

    public let manifest: Int
    public let signature: Int
    public let whole: Int

    /// Where the tensor frames begin.
    public var framesStart: Int { Self.size + manifest + signature }

    private static let magic = Array("TIANKONG".utf8)

    public init(manifest: Int, signature: Int, frames: Int) {
        self.manifest = manifest
        self.signature = signature
        whole = Self.size + manifest + signature + frames
    }

    /// - Parameter bytes: the file's beginning, at least 36 bytes unless the file is shorter.
    /// - Throws: `.incomplete` for fewer bytes, `.header` for wrong ones.
    public init(_ bytes: some Collection<UInt8>, file: String) throws(PatchError) {
        let bytes = Array(bytes.prefix(Self.size))
        guard bytes.count == Self.size else { throw .incomplete(file: file, expected: Self.size, found: bytes.count) }
        func number(_ start: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
        }
        func wrong(_ expected: String, _ found: String) -> PatchError { .header(file: file, expected: expected, found: found) }
        guard number(0, 4) == 0x184D_2A50, Array(bytes[8..<16]) == Self.magic else {
            throw wrong("a patch of tiankong", "other bytes")
        }
        guard number(16, 4) == 1 else { throw wrong("format 1", "format \(number(16, 4))") }
        manifest = Int(number(20, 4))
        signature = Int(number(24, 4))
        guard (1...Self.mostManifest).contains(manifest) else { throw wrong("a manifest of 1 to \(Self.mostManifest) bytes", "\(manifest)") }
        guard signature <= Self.mostSignature else { throw wrong("a signature of at most \(Self.mostSignature) bytes", "\(signature)") }
        guard number(4, 4) == UInt64(28 + manifest + signature) else {
            throw wrong("a first frame of \(28 + manifest + signature) bytes", "\(number(4, 4))")
        }
        guard let whole = Int(exactly: number(28, 8)), whole >= Self.size + manifest + signature else {
            throw wrong("a length of at least \(Self.size + manifest + signature) bytes", "\(number(28, 8))")
        }
        self.whole = whole
    }

    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        func append(_ value: Int, _ count: Int) {
            for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
        }
        append(0x184D_2A50, 4)
        append(28 + manifest + signature, 4)
        bytes += Self.magic
        append(1, 4)
        append(manifest, 4)
        append(signature, 4)
        append(whole, 8)
        return bytes
    }
}

/// Fields of SSH's binary formats (RFC 4251, section 5): u32 big-endian, strings with a u32 length before them.
struct SSHReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Collection<UInt8>) { rest = ArraySlice(bytes) }

    var isAtEnd: Bool { rest.isEmpty }

    /// nil where fewer bytes are left.
    mutating func take(_ count: Int) -> [UInt8]? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    mutating func uint32() -> UInt32? { take(4)?.reduce(0) { $0 << 8 | UInt32($1) } }

    mutating func string() -> [UInt8]? { uint32().flatMap { take(Int($0)) } }

    mutating func text() -> String? { string().flatMap { String(validating: $0, as: UTF8.self) } }
}

struct SSHWriter {
    private(set) var bytes: [UInt8] = []

    mutating func raw(_ more: some Sequence<UInt8>) { bytes += more }

    mutating func uint32(_ value: Int) {
        for shift in stride(from: 24, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func string(_ string: some Collection<UInt8>) {
        uint32(string.count)
        bytes += string
    }
}

/// An ssh-ed25519 public key (RFC 8709): 32 bytes.
public struct SSHPublicKey: Sendable, Hashable, CustomStringConvertible {
    public static let kind = "ssh-ed25519"
    let raw: [UInt8]

    init?(raw: [UInt8]) {
        guard raw.count == 32 else { return nil }
        self.raw = raw
    }

    /// From the blob of RFC 4253, section 6.6; nil for another kind of key or for bytes beyond it.
    init?(blob: [UInt8]) {
        var reader = SSHReader(blob)
        guard reader.text() == Self.kind, let raw = reader.string(), reader.isAtEnd else { return nil }
        self.init(raw: raw)
    }

    var blob: [UInt8] {
        var writer = SSHWriter()
        writer.string(Self.kind.utf8)
        writer.string(raw)
        return writer.bytes
    }

    /// As a line of `authorized_keys` or `allowed_signers` has it.
    public var description: String { Self.kind + " " + Base64.encode(blob) }
}

import Crypto

/// A SHA-256 (FIPS 180-4), written as 64 lower-case hexadecimal digits.
public struct Digest: Sendable, Hashable, CustomStringConvertible {
    private let bytes: [UInt8]

    public init(of data: UnsafeRawBufferPointer) {
        var hash = SHA256()
        hash.update(bufferPointer: data)
        bytes = Array(hash.finalize())
    }

    public init(of data: [UInt8]) {
        self = data.withUnsafeBytes { Digest(of: $0) }
    }

    public init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = Self.value(digits[index]), let low = Self.value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }

    /// Capitals are refused: one digest has one name.
    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// What a version is: the digest of its contents (`VersionIdentity.text`).
public struct Fingerprint: Sendable, Hashable, CustomStringConvertible {
    private let digest: Digest

    init(_ digest: Digest) { self.digest = digest }

    public init?(_ text: String) {
        guard let digest = Digest(text) else { return nil }
        self.digest = digest
    }

    public var description: String { digest.description }

    /// Enough to tell versions of one store apart.
    public var short: String { String(description.prefix(12)) }
}

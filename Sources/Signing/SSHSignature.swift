import Crypto

/// A signature as `ssh-keygen -Y sign` makes it, without its armour (OpenSSH's PROTOCOL.sshsig):
///
///     "SSHSIG" · u32 1 · string public key · string namespace · string reserved (empty) · string hash
///     string signature (string "ssh-ed25519" · string of 64 bytes); nothing after it
///
/// Signed is: "SSHSIG" · string namespace · string reserved · string hash · string H(message).
public struct SSHSignature: Sendable {
    public enum Hash: String, Sendable { case sha256, sha512 }

    public let key: SSHPublicKey
    public let namespace: String
    public let hash: Hash
    let signature: [UInt8]

    private static let magic = Array("SSHSIG".utf8)

    /// - Throws: `.signature`: not that format, not ssh-ed25519, or more than it.
    public init(blob: [UInt8]) throws(SigningError) {
        var reader = SSHReader(blob)
        guard reader.take(6) == Self.magic, reader.uint32() == 1 else {
            throw .signature(expected: "SSHSIG, version 1", found: "other bytes")
        }
        guard let key = reader.string().flatMap(SSHPublicKey.init(blob:)) else {
            throw .signature(expected: "an ssh-ed25519 key", found: "another kind of key")
        }
        guard let namespace = reader.text(), let reserved = reader.string(), reserved.isEmpty else {
            throw .signature(expected: "a namespace and nothing reserved", found: "other bytes")
        }
        let hash = reader.text()
        guard let hash = hash.flatMap(Hash.init) else {
            throw .signature(expected: "hash sha256 or sha512", found: String((hash ?? "nothing").prefix(100)))
        }
        guard let inner = reader.string(), reader.isAtEnd else {
            throw .signature(expected: "an end after the signature", found: "more or fewer bytes")
        }
        var last = SSHReader(inner)
        guard last.text() == SSHPublicKey.kind, let signature = last.string(), signature.count == 64, last.isAtEnd else {
            throw .signature(expected: "64 bytes of ssh-ed25519", found: "others")
        }
        self.key = key
        self.namespace = namespace
        self.hash = hash
        self.signature = signature
    }

    public init(signing message: [UInt8], with key: SSHPrivateKey, namespace: String, hash: Hash = .sha512) throws(SigningError) {
        self.key = key.publicKey
        self.namespace = namespace
        self.hash = hash
        signature = try key.sign(Self.signed(message, namespace, hash))
    }

    public var blob: [UInt8] {
        var inner = SSHWriter()
        inner.string(SSHPublicKey.kind.utf8)
        inner.string(signature)
        var writer = SSHWriter()
        writer.raw(Self.magic)
        writer.uint32(1)
        writer.string(key.blob)
        writer.string(namespace.utf8)
        writer.string([])
        writer.string(hash.rawValue.utf8)
        writer.string(inner.bytes)
        return writer.bytes
    }

    /// Whether this key signed this message. Who the key belongs to is `AllowedSigners`' business.
    public func isValid(for message: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: key.raw) else { return false }
        return key.isValidSignature(signature, for: Self.signed(message, namespace, hash))
    }

    private static func signed(_ message: [UInt8], _ namespace: String, _ hash: Hash) -> [UInt8] {
        var writer = SSHWriter()
        writer.raw(magic)
        writer.string(namespace.utf8)
        writer.string([])
        writer.string(hash.rawValue.utf8)
        writer.string(hash == .sha256 ? Array(SHA256.hash(data: message)) : Array(SHA512.hash(data: message)))
        return writer.bytes
    }
}

extension SSHSignature {
    private static let begin = "-----BEGIN SSH SIGNATURE-----"
    private static let end = "-----END SSH SIGNATURE-----"

    /// As `ssh-keygen -Y sign` writes it to FILE.sig.
    public init(armoured text: String) throws(SigningError) {
        guard let blob = unarmoured(text, Self.begin, Self.end) else {
            throw .signature(expected: Self.begin, found: "another text")
        }
        try self.init(blob: blob)
    }

    public var armoured: String {
        var lines = [Self.begin]
        var rest = Base64.encode(blob)[...]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(70)))
            rest = rest.dropFirst(70)
        }
        return (lines + [Self.end]).joined(separator: "\n") + "\n"
    }
}

/// What stands between two lines, decoded.
func unarmoured(_ text: String, _ begin: String, _ end: String) -> [UInt8]? {
    let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmed }
    guard let first = lines.firstIndex(of: begin[...]), let last = lines.firstIndex(of: end[...]), first < last else {
        return nil
    }
    return Base64.decode(lines[(first + 1)..<last].joined())
}

extension Substring {
    /// Without spaces, tabs and line ends around it: what SSH takes for white space, and no more.
    var trimmed: Substring {
        var text = self
        while let first = text.first, Self.isSpace(first) { text.removeFirst() }
        while let last = text.last, Self.isSpace(last) { text.removeLast() }
        return text
    }

    private static func isSpace(_ character: Character) -> Bool { [" ", "\t", "\r", "\n", "\r\n"].contains(character) }
}

import Crypto

/// An ssh-ed25519 key as `ssh-keygen -t ed25519` writes it, without a passphrase (OpenSSH's PROTOCOL.key):
///
///     "openssh-key-v1" NUL · string cipher · string kdf · string kdf options · u32 1 · string public key · string private
///     private: u32 check, twice · string "ssh-ed25519" · string public (32) · string key (64: seed, public)
///              string comment · padding 1, 2, 3 … to a multiple of 8
public struct SSHPrivateKey: Sendable {
    private let key: Curve25519.Signing.PrivateKey
    public let publicKey: SSHPublicKey

    private static let begin = "-----BEGIN OPENSSH PRIVATE KEY-----"
    private static let end = "-----END OPENSSH PRIVATE KEY-----"
    private static let magic = Array("openssh-key-v1\0".utf8)

    /// A new one.
    public init() {
        key = Curve25519.Signing.PrivateKey()
        // A raw ed25519 key has 32 bytes.
        publicKey = SSHPublicKey(raw: Array(key.publicKey.rawRepresentation))!
    }

    /// - Parameter file: its name, for messages.
    public init(_ text: String, file: String) throws(SigningError) {
        func wrong(_ expected: String, _ found: String) -> SigningError { .key(file: file, expected: expected, found: found) }
        guard let bytes = unarmoured(text, Self.begin, Self.end) else { throw wrong(Self.begin, "another text") }
        var reader = SSHReader(bytes)
        guard reader.take(Self.magic.count) == Self.magic, let cipher = reader.text(), let kdf = reader.text(),
            reader.string() != nil, reader.uint32() == 1, reader.string() != nil, let secret = reader.string(), reader.isAtEnd
        else { throw wrong("one key of openssh-key-v1", "other bytes") }
        guard cipher == "none", kdf == "none" else { throw .encryptedKey(file: file) }
        var inner = SSHReader(secret)
        guard let check = inner.uint32(), inner.uint32() == check, inner.text() == SSHPublicKey.kind,
            let raw = inner.string(), let pair = inner.string(), pair.count == 64, inner.string() != nil
        else { throw wrong("an ssh-ed25519 key", "another kind of key") }
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: pair.prefix(32)),
            let publicKey = SSHPublicKey(raw: raw), Array(key.publicKey.rawRepresentation) == raw, pair.suffix(32).elementsEqual(raw)
        else { throw wrong("a key that fits its public half", "one that does not") }
        self.key = key
        self.publicKey = publicKey
    }

    /// The text of such a file.
    public func text(comment: String) -> String {
        var secret = SSHWriter()
        let check = Int(UInt32.random(in: .min ... .max))
        secret.uint32(check)
        secret.uint32(check)
        secret.string(SSHPublicKey.kind.utf8)
        secret.string(publicKey.raw)
        secret.string(Array(key.rawRepresentation) + publicKey.raw)
        secret.string(comment.utf8)
        var padding: UInt8 = 1
        while !secret.bytes.count.isMultiple(of: 8) {
            secret.raw([padding])
            padding += 1
        }
        var writer = SSHWriter()
        writer.raw(Self.magic)
        writer.string("none".utf8)
        writer.string("none".utf8)
        writer.string([])
        writer.uint32(1)
        writer.string(publicKey.blob)
        writer.string(secret.bytes)
        var lines = [Self.begin]
        var rest = Base64.encode(writer.bytes)[...]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(70)))
            rest = rest.dropFirst(70)
        }
        return (lines + [Self.end]).joined(separator: "\n") + "\n"
    }

    func sign(_ message: [UInt8]) throws(SigningError) -> [UInt8] {
        do { return Array(try key.signature(for: message)) } catch {
            throw .key(file: "\(publicKey)", expected: "a key that signs", found: "\(error)")
        }
    }
}

/// One line of an allowed_signers file, read as ssh-keygen reads it (OpenSSH's sshsig.c): a word that is no key type
/// after the principals are options; after the key comes a comment, whatever is in it.
struct SignerLine {
    struct Wrong: Error {
        let expected: String
        let found: String
    }

    /// nil for a line that cannot have signed a patch.
    let signer: AllowedSigners.Signer?

    init(_ line: Substring) throws(Wrong) {
        var rest = line
        let principals = try Self.principals(&rest)
        var options = SignerOptions()
        var word = Self.word(&rest)
        if !word.isEmpty, !Self.isKeyType(word) {
            options = try SignerOptions(word)
            word = Self.word(&rest)
        }
        guard Self.isKeyType(word), case let base64 = Self.word(&rest), !base64.isEmpty else {
            throw Wrong(expected: "a key type and a key", found: word.isEmpty ? "the line's end" : String(word.prefix(200)))
        }
        guard word == SSHPublicKey.kind, !options.isAuthority else {
            signer = nil
            return
        }
        guard let key = Base64.decode(base64).flatMap(SSHPublicKey.init(blob:)) else {
            throw Wrong(expected: "an ssh-ed25519 key in base64", found: String(base64.prefix(200)))
        }
        signer = .init(
            principals: principals, namespaces: options.namespaces, validAfter: options.validAfter,
            validBefore: options.validBefore, key: key)
    }

    private static func isKeyType(_ word: Substring) -> Bool {
        ["ssh-", "ecdsa-", "sk-"].contains { word.hasPrefix($0) }
    }

    /// The first word, or what stands in quotes; a list at commas, of which one at least is no exclusion.
    private static func principals(_ rest: inout Substring) throws(Wrong) -> [String] {
        let text: Substring
        if rest.first == "\"" {
            rest.removeFirst()
            guard let end = rest.firstIndex(of: "\"") else { throw Wrong(expected: "a closing quote", found: "the line's end") }
            text = rest[..<end]
            rest = rest[rest.index(after: end)...].trimmed
        } else {
            text = word(&rest)
        }
        let principals = text.split(separator: ",").map(String.init)
        guard principals.contains(where: { !$0.hasPrefix("!") }) else {
            throw Wrong(expected: "a principal", found: text.isEmpty ? "none" : String(text.prefix(200)))
        }
        return principals
    }

    /// The next word: to white space outside of double quotes, which stay in it. Empty at the end.
    private static func word(_ rest: inout Substring) -> Substring {
        var isQuoted = false
        let end = rest.firstIndex { character in
            if character == "\"" { isQuoted.toggle() }
            return !isQuoted && (character == " " || character == "\t")
        }
        defer { rest = (end.map { rest[$0...] } ?? "").trimmed }
        return rest[..<(end ?? rest.endIndex)]
    }
}

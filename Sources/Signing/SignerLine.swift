import Glibc

/// One line of an allowed_signers file.
struct SignerLine {
    struct Wrong: Error {
        let expected: String
        let found: String
    }

    /// nil for a line that cannot have signed a patch.
    let signer: AllowedSigners.Signer?

    init(_ line: Substring) throws(Wrong) {
        var words = try Self.words(line)[...]
        guard let principals = words.popFirst() else { throw Wrong(expected: "principals", found: "nothing") }
        var options = Options()
        if let word = words.first, !Self.isKeyType(word) {
            options = try Options(word)
            words.removeFirst()
        }
        guard let kind = words.popFirst(), Self.isKeyType(kind), let base64 = words.popFirst() else {
            throw Wrong(expected: "a key type and a key", found: words.first ?? "the line's end")
        }
        guard kind == SSHPublicKey.kind, !options.isAuthority else {
            signer = nil
            return
        }
        guard let key = Base64.decode(base64).flatMap(SSHPublicKey.init(blob:)) else {
            throw Wrong(expected: "an ssh-ed25519 key in base64", found: base64)
        }
        signer = .init(
            principals: principals.split(separator: ",").map { String($0.filter { $0 != "\"" }) },
            namespaces: options.namespaces, validAfter: options.validAfter, validBefore: options.validBefore, key: key)
    }

    private static func isKeyType(_ word: String) -> Bool {
        ["ssh-", "ecdsa-", "sk-", "rsa-"].contains { word.hasPrefix($0) }
    }

    /// Split at white space outside of double quotes; the quotes stay.
    private static func words(_ line: Substring) throws(Wrong) -> [String] {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        for character in line {
            if character == "\"" { isQuoted.toggle() }
            if character.isWhitespace, !isQuoted {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        guard !isQuoted else { throw Wrong(expected: "a closing quote", found: "the line's end") }
        return word.isEmpty ? words : words + [word]
    }
}

private struct Options {
    var isAuthority = false
    var namespaces: [String]?
    var validAfter: Int?
    var validBefore: Int?

    init() {}

    init(_ word: String) throws(SignerLine.Wrong) {
        for option in Self.split(word) {
            let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
            let name = parts.first?.lowercased() ?? ""
            let value = parts.count > 1 ? parts[1].filter { $0 != "\"" } : ""
            switch name {
            case "cert-authority": isAuthority = true
            case "namespaces": namespaces = value.split(separator: ",").map(String.init)
            case "valid-after": validAfter = try Self.time(value)
            case "valid-before": validBefore = try Self.time(value)
            default:
                throw .init(expected: "namespaces, valid-after, valid-before or cert-authority", found: option)
            }
        }
    }

    /// At commas outside of quotes.
    private static func split(_ word: String) -> [String] {
        var parts = [""]
        var isQuoted = false
        for character in word {
            if character == "\"" { isQuoted.toggle() }
            if character == ",", !isQuoted { parts.append("") } else { parts[parts.count - 1].append(character) }
        }
        return parts
    }

    private static func time(_ text: String) throws(SignerLine.Wrong) -> Int {
        let isUTC = text.hasSuffix("Z")
        let digits = text.utf8.dropLast(isUTC ? 1 : 0).map { Int32($0) - 48 }
        guard [8, 12, 14].contains(digits.count), digits.allSatisfy({ (0...9).contains($0) }) else {
            throw .init(expected: "YYYYMMDD[HHMM[SS]][Z]", found: text)
        }
        func number(_ start: Int, _ count: Int) -> Int32 {
            start + count <= digits.count ? digits[start..<(start + count)].reduce(0) { $0 * 10 + $1 } : 0
        }
        var parts = tm()
        parts.tm_year = number(0, 4) - 1900
        parts.tm_mon = number(4, 2) - 1
        parts.tm_mday = number(6, 2)
        parts.tm_hour = number(8, 2)
        parts.tm_min = number(10, 2)
        parts.tm_sec = number(12, 2)
        parts.tm_isdst = -1
        let written = parts
        let seconds = isUTC ? timegm(&parts) : mktime(&parts)
        // A day that does not exist is normalised into another one.
        guard parts.tm_mday == written.tm_mday, parts.tm_mon == written.tm_mon else {
            throw .init(expected: "a day that exists", found: text)
        }
        return seconds
    }
}

import Glibc

/// The options of a line of allowed_signers: names in any case, each once, joined by commas.
struct SignerOptions {
    var isAuthority = false
    var namespaces: [String]?
    /// Seconds since 1970.
    var validAfter: Int?
    var validBefore: Int?

    init() {}

    init(_ word: Substring) throws(SignerLine.Wrong) {
        var seen: Set<String> = []
        for option in Self.split(word) {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0].lowercased()
            guard seen.insert(name).inserted else { throw .init(expected: "\(name) once", found: "it twice") }
            switch (name, parts.count) {
            case ("cert-authority", 1): isAuthority = true
            case ("namespaces", 2): namespaces = try Self.value(parts[1]).split(separator: ",").map(String.init)
            case ("valid-after", 2): validAfter = try Self.time(Self.value(parts[1]))
            case ("valid-before", 2): validBefore = try Self.time(Self.value(parts[1]))
            default:
                throw .init(
                    expected: "namespaces=, valid-after=, valid-before= or cert-authority, and a key", found: String(option.prefix(200)))
            }
        }
        if let validAfter, let validBefore, validBefore <= validAfter {
            throw .init(expected: "valid-before later than valid-after", found: "it is not")
        }
    }

    /// At commas outside of quotes.
    private static func split(_ word: Substring) -> [String] {
        var parts = [""]
        var isQuoted = false
        for character in word {
            if character == "\"" { isQuoted.toggle() }
            if character == ",", !isQuoted { parts.append("") } else { parts[parts.count - 1].append(character) }
        }
        return parts
    }

    /// What stands in quotes, which ssh-keygen wants and for which nothing here has need; escapes it has no use for.
    private static func value(_ text: Substring) throws(SignerLine.Wrong) -> Substring {
        var value = text
        if value.count >= 2, value.first == "\"", value.last == "\"" { value = value.dropFirst().dropLast() }
        guard !value.isEmpty, !value.contains("\""), !value.contains("\\") else {
            throw .init(expected: "a value in double quotes", found: text.isEmpty ? "none" : String(text.prefix(200)))
        }
        return value
    }

    /// `YYYYMMDD` or `YYYYMMDDHHMM[SS]`; UTC with a Z after it, else local.
    private static func time(_ text: Substring) throws(SignerLine.Wrong) -> Int {
        let isUTC = text.hasSuffix("Z") || text.hasSuffix("z")
        let digits = text.utf8.dropLast(isUTC ? 1 : 0).map { Int32($0) - 48 }
        guard [8, 12, 14].contains(digits.count), digits.allSatisfy({ (0...9).contains($0) }) else {
            throw .init(expected: "YYYYMMDD[HHMM[SS]][Z]", found: String(text.prefix(200)))
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
        // A day or an hour that does not exist is normalised into another one.
        guard parts.tm_mday == written.tm_mday, parts.tm_mon == written.tm_mon, (0...23).contains(written.tm_hour),
            (0...59).contains(written.tm_min), (0...59).contains(written.tm_sec)
        else { throw .init(expected: "a time that exists", found: String(text)) }
        return seconds
    }
}

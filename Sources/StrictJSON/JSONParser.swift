/// RFC 8259, without mercy: UTF-8 only, no duplicate keys, no lone surrogates, no control characters, nothing after
/// the value, nesting bounded. Time is linear in the text but for objects' keys, which are hashed.
extension JSON {
    /// - Parameter depth: how many arrays and objects may stand inside each other.
    public init(parsing bytes: UnsafeRawBufferPointer, depth: Int = 64) throws(JSONError) {
        var parser = JSONParser(bytes: bytes, limit: depth)
        self = try parser.document()
    }

    public init(parsing text: some Sequence<UInt8>, depth: Int = 64) throws(JSONError) {
        let bytes = [UInt8](text)
        let parsed: Result<JSON, JSONError> = bytes.withUnsafeBytes { raw in
            Result { () throws(JSONError) in try JSON(parsing: raw, depth: depth) }
        }
        self = try parsed.get()
    }
}

private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    let limit: Int
    var at = 0
    var depth = 0

    init(bytes: UnsafeRawBufferPointer, limit: Int) {
        self.bytes = bytes
        self.limit = limit
    }

    mutating func document() throws(JSONError) -> JSON {
        let value = try value()
        skipSpace()
        guard at == bytes.count else { throw .trailing(offset: at) }
        return value
    }

    private mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 }
    }

    /// The next byte that is not white space, not consumed.
    private mutating func peek(_ expected: String) throws(JSONError) -> UInt8 {
        skipSpace()
        guard at < bytes.count else { throw .endOfText(expected: expected) }
        return bytes[at]
    }

    private func unexpected(_ expected: String) -> JSONError {
        guard at < bytes.count else { return .endOfText(expected: expected) }
        let byte = bytes[at]
        let found = (0x21...0x7E).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "byte 0x" + String(byte, radix: 16)
        return .unexpected(found: found, expected: expected, offset: at)
    }

    private mutating func value() throws(JSONError) -> JSON {
        switch try peek("a value") {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw unexpected("a value")
        }
    }

    private mutating func literal(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for offset in 0..<word.utf8CodeUnitCount {
            guard at < bytes.count, bytes[at] == word.utf8Start[offset] else { throw unexpected("\(word)") }
            at += 1
        }
        return value
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= limit else { throw .tooDeep(limit: limit, offset: at) }
        at += 1
    }

    private mutating func array() throws(JSONError) -> JSON {
        try enter()
        defer { depth -= 1 }
        var elements: [JSON] = []
        if try peek("a value or ']'") == UInt8(ascii: "]") {
            at += 1
            return .array(elements)
        }
        while true {
            elements.append(try value())
            if try closes(UInt8(ascii: "]"), "',' or ']'") { return .array(elements) }
        }
    }

    /// Consumes a comma (false) or the closing bracket (true).
    private mutating func closes(_ bracket: UInt8, _ expected: String) throws(JSONError) -> Bool {
        let byte = try peek(expected)
        guard byte == bracket || byte == UInt8(ascii: ",") else { throw unexpected(expected) }
        at += 1
        return byte == bracket
    }

    private mutating func object() throws(JSONError) -> JSON {
        try enter()
        defer { depth -= 1 }
        var members: [JSON.Member] = []
        var keys = KeySet()
        if try peek("a key or '}'") == UInt8(ascii: "}") {
            at += 1
            return .object(members)
        }
        while true {
            guard try peek("a key") == UInt8(ascii: "\"") else { throw unexpected("a key") }
            let start = at
            let key = try string()
            guard keys.insert(key) else { throw .duplicateKey(key, offset: start) }
            guard try peek("':'") == UInt8(ascii: ":") else { throw unexpected("':'") }
            at += 1
            members.append(JSON.Member(key, try value()))
            if try closes(UInt8(ascii: "}"), "',' or '}'") { return .object(members) }
        }
    }
}

// MARK: - Strings and numbers

extension JSONParser {
    fileprivate mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
            at += 1
        }
        guard at < bytes.count else { throw .endOfText(expected: "'\"'") }
        if bytes[at] == UInt8(ascii: "\"") {
            defer { at += 1 }
            return try validated(UnsafeRawBufferPointer(rebasing: bytes[start..<at]), from: start)
        }
        return try escapedString(from: start)
    }

    private func validated(_ slice: UnsafeRawBufferPointer, from start: Int) throws(JSONError) -> String {
        guard let string = String(validating: slice, as: UTF8.self) else { throw .invalidUTF8(offset: start) }
        return string
    }

    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var decoded = [UInt8](bytes[start..<at])
        while at < bytes.count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                at += 1
                guard let string = String(validating: decoded, as: UTF8.self) else { throw .invalidUTF8(offset: start) }
                return string
            case UInt8(ascii: "\\"): decoded.append(contentsOf: String(try escape()).utf8)
            case 0..<0x20: throw .controlCharacter(offset: at)
            default:
                decoded.append(byte)
                at += 1
            }
        }
        throw .endOfText(expected: "'\"'")
    }

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        at += 1
        guard at < bytes.count else { throw .endOfText(expected: "an escape") }
        defer { at += 1 }
        switch bytes[at] {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{08}"
        case UInt8(ascii: "f"): return "\u{0C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicodeEscape()
        default: throw unexpected("an escape")
        }
    }

    /// `\uXXXX`, or two of them for a scalar beyond the basic plane; leaves `at` on the last digit.
    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let start = at - 1
        let high = try hexDigits()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard (0xD800...0xDBFF).contains(high), at + 2 < bytes.count,
            bytes[at + 1] == UInt8(ascii: "\\"), bytes[at + 2] == UInt8(ascii: "u")
        else { throw .loneSurrogate(offset: start) }
        at += 2
        let low = try hexDigits()
        guard (0xDC00...0xDFFF).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        else { throw .loneSurrogate(offset: start) }
        return scalar
    }

    private mutating func hexDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            at += 1
            guard at < bytes.count else { throw .endOfText(expected: "four hexadecimal digits") }
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else {
                throw unexpected("a hexadecimal digit")
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private mutating func digits() throws(JSONError) {
        let start = at
        while at < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[at]) { at += 1 }
        guard at > start else { throw unexpected("a digit") }
    }

    fileprivate mutating func number() throws(JSONError) -> JSON {
        let start = at
        var integral = true
        if bytes[at] == UInt8(ascii: "-") { at += 1 }
        if at < bytes.count, bytes[at] == UInt8(ascii: "0") { at += 1 } else { try digits() }
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            integral = false
            at += 1
            try digits()
        }
        if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
            integral = false
            at += 1
            if at < bytes.count, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(bytes[at]) { at += 1 }
            try digits()
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if integral, let integer = Int64(text) { return .integer(integer) }
        guard let real = Double(text), real.isFinite else { throw .numberOutOfRange(offset: start) }
        return .real(real)
    }
}

/// Keys seen in one object, by bytes. Small objects are searched, large ones (a vocabulary) hashed.
private struct KeySet {
    private var few: [String] = []
    private var many: Set<[UInt8]> = []

    mutating func insert(_ key: String) -> Bool {
        if many.isEmpty {
            if few.contains(where: { $0.utf8.elementsEqual(key.utf8) }) { return false }
            few.append(key)
            if few.count > 16 { many = Set(few.map { Array($0.utf8) }) }
            return true
        }
        return many.insert(Array(key.utf8)).inserted
    }
}

import Explain
import StrictJSON

/// The members of a request's object, each to be taken once; what is left over at the end is unknown.
struct Fields {
    private var members: [JSON.Member]
    /// Where this object is in the request: "" or "parameters.".
    private let path: String
    private let known: [String]

    /// - Parameter known: all names this object may have.
    init(_ json: JSON, path: String = "", known: [String]) throws(Problem) {
        guard let members = json.members else {
            throw Problem(
                .wrongType, field: path.isEmpty ? "the body" : String(path.dropLast()), expected: "an object",
                found: json.kind)
        }
        if let unknown = members.first(where: { !known.contains($0.key) }) {
            throw Problem(
                .unknownField, field: path + unknown.key, expected: "one of " + known.joined(separator: ", "),
                found: path + unknown.key)
        }
        self.members = members
        self.path = path
        self.known = known
    }

    /// A member that is absent or null is nil.
    func value(_ name: String) -> JSON? {
        precondition(known.contains(name))
        let value = members.first { $0.key == name }?.value
        if case .null? = value { return nil }
        return value
    }

    func wrong(_ name: String, _ expected: String, _ found: JSON) -> Problem {
        Problem(.wrongType, field: path + name, expected: expected, found: found.kind)
    }

    func text(_ name: String) throws(Problem) -> String {
        guard let value = value(name) else {
            throw Problem(.missingField, field: path + name, expected: "a string", found: "nothing")
        }
        guard let text = value.string else { throw wrong(name, "a string", value) }
        try Self.check(text, field: path + name)
        return text
    }

    /// - Parameter most: bytes.
    func optionalText(_ name: String, most: Int) throws(Problem) -> String? {
        guard value(name) != nil else { return nil }
        let text = try text(name)
        guard text.utf8.count <= most, !text.isEmpty else {
            throw Problem(.outOfRange, field: path + name, expected: "1 to \(most) bytes", found: "\(text.utf8.count)")
        }
        return text
    }

    func integer(_ name: String, in range: ClosedRange<Int>) throws(Problem) -> Int? {
        guard let value = value(name) else { return nil }
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let real = value.real else { throw wrong(name, expected, value) }
        guard let integer = Int(exactly: real), range.contains(integer) else {
            throw Problem(.outOfRange, field: path + name, expected: expected, found: value.serialized)
        }
        return integer
    }

    /// Greater than 0, at most `limit`.
    func positive(_ name: String, atMost limit: Double) throws(Problem) -> Double? {
        guard let value = value(name) else { return nil }
        let expected = "a number above 0, at most \(Int(limit))"
        guard let real = value.real else { throw wrong(name, expected, value) }
        guard real >= 0.001, real <= limit else {
            throw Problem(.outOfRange, field: path + name, expected: expected, found: value.serialized)
        }
        return real
    }

    func texts(_ name: String, atMost limit: Int) throws(Problem) -> [String]? {
        guard let value = value(name) else { return nil }
        guard let elements = value.elements else { throw wrong(name, "a list of strings", value) }
        guard (1...limit).contains(elements.count) else {
            throw Problem(
                .outOfRange, field: path + name, expected: "1 to \(limit) strings", found: "\(elements.count)")
        }
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            let field = "\(path)\(name)[\(index)]"
            guard let text = element.string else {
                throw Problem(.wrongType, field: field, expected: "a string", found: element.kind)
            }
            try Self.check(text, field: field)
            texts.append(text)
        }
        return texts
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, _: Choice.Type) throws(Problem) -> Choice? {
        guard let value = value(name) else { return nil }
        let expected = "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ")
        guard let text = value.string else { throw wrong(name, expected, value) }
        guard let choice = Choice(rawValue: text) else {
            throw Problem(.outOfRange, field: path + name, expected: expected, found: text)
        }
        return choice
    }

    /// U+0000 is no character of a sentence; whoever sends it has a broken program, and is told.
    static func check(_ text: String, field: String) throws(Problem) {
        if text.utf8.contains(0) {
            throw Problem(.outOfRange, field: field, expected: "text without U+0000", found: "U+0000")
        }
    }
}

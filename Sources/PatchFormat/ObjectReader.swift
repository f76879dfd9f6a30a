import ModelFormat
import StrictJSON

/// Members of one JSON object, each read once and none left over.
struct ObjectReader {
    let json: JSON
    let path: String
    let file: String

    func wrong(_ key: String, _ expected: String, _ found: String) -> PatchError {
        // Without a key it is the object itself: `frames[0]` of `frames[0].`
        .manifest(file: file, key: shown(key.isEmpty ? String(path.dropLast()) : path + key), expected: expected, found: shown(found))
    }

    /// A signed text is still a stranger's: short, and without what a terminal would obey.
    private func shown(_ text: String) -> String {
        text.unicodeScalars.prefix(200).map { Self.isControl($0) ? "\\u{\(String($0.value, radix: 16))}" : "\($0)" }.joined()
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control || scalar == "\u{2028}" || scalar == "\u{2029}"
    }

    func only(_ keys: [String]) throws(PatchError) {
        guard let members = json.members else { throw wrong("", "an object", json.kind) }
        if let unknown = members.first(where: { member in !keys.contains { $0.utf8.elementsEqual(member.key.utf8) } }) {
            throw wrong(unknown.key, "one of " + keys.joined(separator: ", "), "an unknown key")
        }
    }

    func value(_ key: String) throws(PatchError) -> JSON {
        guard let value = json[key] else { throw wrong(key, "a value", "none") }
        return value
    }

    func text(_ key: String, most: Int) throws(PatchError) -> String {
        let value = try value(key)
        guard let text = value.string else { throw wrong(key, "a text", value.kind) }
        guard text.utf8.count <= most else { throw wrong(key, "at most \(most) bytes", "\(text.utf8.count)") }
        return text
    }

    /// A text without control characters: what is shown to people stays on its line.
    func line(_ key: String, most: Int) throws(PatchError) -> String {
        let text = try text(key, most: most)
        guard !text.unicodeScalars.contains(where: Self.isControl) else { throw wrong(key, "a text on one line", text) }
        return text
    }

    /// One or two sizes. Their product stays far from overflow: 4 bytes an element, and four planes of them.
    func shape(_ key: String) throws(PatchError) -> [Int] {
        let value = try value(key)
        guard let elements = value.elements, (1...2).contains(elements.count) else {
            throw wrong(key, "one or two sizes", value.serialized)
        }
        let sizes = elements.compactMap(\.integer)
        guard sizes.count == elements.count, sizes.allSatisfy({ (1...(1 << 28)).contains($0) }), sizes.reduce(1, *) <= 1 << 31 else {
            throw wrong(key, "sizes from 1 to \(1 << 28), \(1 << 31) elements at most", value.serialized)
        }
        return sizes
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(PatchError) -> Int {
        let value = try value(key)
        guard let number = value.integer, range.contains(number) else {
            throw wrong(key, "a whole number from \(range.lowerBound) to \(range.upperBound)", value.serialized)
        }
        return number
    }

    func digest(_ key: String) throws(PatchError) -> Digest {
        let text = try text(key, most: 200)
        guard let digest = Digest(text) else { throw wrong(key, "64 hexadecimal digits", text) }
        return digest
    }

    func fingerprint(_ key: String) throws(PatchError) -> Fingerprint {
        let text = try text(key, most: 200)
        guard let fingerprint = Fingerprint(text) else { throw wrong(key, "64 hexadecimal digits", text) }
        return fingerprint
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String) throws(PatchError) -> Choice {
        let text = try text(key, most: 40)
        guard let choice = Choice(rawValue: text) else {
            throw wrong(key, "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "), text)
        }
        return choice
    }

    /// nil where the value is null.
    func optional<Value>(_ key: String, _ read: (JSON) -> Value?) throws(PatchError) -> Value? {
        let value = try value(key)
        if case .null = value { return nil }
        guard let read = read(value) else { throw wrong(key, "null or a value of the right kind", value.serialized) }
        return read
    }
}

import Explain

/// One line of a file of terms: `term`, `term<TAB>weight` or `term<TAB>weight<TAB>domain`.
///
/// All is done by Unicode scalars: as Characters, a tab and a combining mark after it are one, which is no tab.
struct TermLine {
    struct Wrong: Error {
        let expected: TermFault.Expected
        let found: String
    }

    private typealias Scalars = Substring.UnicodeScalarView

    /// nil for a comment and for a blank line.
    let term: Term?

    /// - Parameter bytes: of the line, without its LF.
    init(_ bytes: ArraySlice<UInt8>) throws(Wrong) {
        let line = try Self.decoded(bytes.last == 0x0D ? bytes.dropLast() : bytes)
        let first = line.first { $0 != "\t" && !Self.isSpace($0) }
        guard let first, first != "#" else {
            term = nil
            return
        }
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(Self.trimmed)
        guard fields.count <= 3 else { throw Wrong(expected: .fields, found: "\(fields.count)") }
        term = Term(
            text: try Self.text(fields[0]),
            weight: fields.count > 1 ? try Self.weight(fields[1]) : nil,
            domain: fields.count > 2 ? try Self.domain(fields[2]) : nil)
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>) throws(Wrong) -> Scalars {
        do throws(UTF8.ValidationError) {
            return Substring(String(copying: try UTF8Span(validating: bytes.span))).unicodeScalars
        } catch {
            let byte = bytes[bytes.startIndex + error.byteOffsets.lowerBound]
            throw Wrong(expected: .utf8, found: "0x" + String(byte, radix: 16, uppercase: true))
        }
    }

    private static func text(_ field: Scalars) throws(Wrong) -> String {
        guard isName(field), !String(field).utf8.contains("[MASK]".utf8) else {
            throw Wrong(expected: .text, found: shown(field))
        }
        return String(field)
    }

    private static func domain(_ field: Scalars) throws(Wrong) -> String? {
        if field.isEmpty { return nil }
        guard isName(field) else { throw Wrong(expected: .domain, found: shown(field)) }
        return String(field)
    }

    private static func weight(_ field: Scalars) throws(Wrong) -> Double? {
        if field.isEmpty { return nil }
        // Double alone would take 0x10 for 16.
        guard field.allSatisfy({ "0"..."9" ~= $0 || $0 == "." }), let weight = Double(Substring(field)),
            weight > 1, weight <= Term.mostWeight
        else { throw Wrong(expected: .weight, found: shown(field)) }
        return weight
    }

    /// A byte order mark inside comes from files that were joined: nobody sees it, and the term would never match.
    private static let mark: Unicode.Scalar = "\u{FEFF}"

    private static func isName(_ field: Scalars) -> Bool {
        (1...Term.mostScalars).contains(field.prefix(Term.mostScalars + 1).count) && String(field).isName
            && !field.contains(mark)
    }

    /// Short enough for a line of a message; after what was cut off, the number of scalars that there were.
    private static func shown(_ field: Scalars) -> String {
        let beginning = String(field.prefix(40)).plain.unicodeScalars
            .map { $0 == mark ? "\\u{feff}" : String($0) }.joined()
        return field.count > 40 ? beginning + "…(\(field.count))" : beginning
    }

    /// The blank of every script, U+3000 among them; no control character is one.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar == " " || (scalar.value > 0x7F && scalar.properties.generalCategory == .spaceSeparator)
    }

    private static func trimmed(_ field: Scalars) -> Scalars {
        var field = field.drop(while: isSpace)
        while let last = field.last, isSpace(last) { field.removeLast() }
        return field
    }
}

import Explain

/// A sentence with one blank and what belongs there.
public struct Row: Sendable, Equatable {
    /// With a single `[MASK]` where the blank is, however long.
    public let text: String
    /// Characters (Unicode scalars) in the blank, 1 to 8.
    public let span: Int
    public let answer: String
    /// Other answers that are as right.
    public let also: [String]

    public static let mask = "[MASK]"
    public static let spans = 1...8

    /// Whether that fills the blank rightly, compared scalar by scalar: what looks alike in another normal form is
    /// not what the vocabulary holds.
    public func isRight(_ text: String) -> Bool {
        text.utf8.elementsEqual(answer.utf8) || also.contains { text.utf8.elementsEqual($0.utf8) }
    }
}

extension Row {
    /// Where a row stands, for what is said about it.
    struct Place {
        let file: String
        let line: Int

        func refusal(_ expected: String, zh: String, found: String) -> EvaluationError {
            .row(file: file, line: line, expected: Bilingual(expected, zh: zh), found: found)
        }
    }

    /// - Parameter sentence: with as many adjacent `[MASK]` as the answer has characters.
    /// - Throws: `.row`.
    init(sentence: String, answer: String, also: [String], at place: Place) throws(EvaluationError) {
        // By bytes: an accent after a mask is one Character with its bracket.
        let pieces = sentence.utf8.split(separator: Self.mask.utf8, omittingEmptySubsequences: false)
        // Between two masks that touch lies an empty piece; one that is not empty parts two blanks.
        let (span, inner) = (pieces.count - 1, pieces.dropFirst().dropLast())
        guard span > 0 else { throw place.refusal("a [MASK]", zh: "含 [MASK] 的句子", found: Self.shown(sentence)) }
        guard inner.allSatisfy(\.isEmpty) else {
            throw place.refusal("one run of adjacent [MASK]", zh: "一处相连的 [MASK]", found: Self.shown(sentence))
        }
        guard Self.spans.contains(span) else {
            throw place.refusal("1 to 8 [MASK]", zh: " 1 至 8 个 [MASK]", found: "\(span)")
        }
        guard !answer.isEmpty else { throw place.refusal("an answer", zh: "答案", found: "\"\"") }
        for right in [answer] + also where right.unicodeScalars.count != span {
            throw place.refusal(
                "\(span) character\(span == 1 ? "" : "s"), as there are [MASK]", zh: " \(span) 个字，与 [MASK] 数相同",
                found: "\"\(Self.shown(right))\"")
        }
        text = String(Substring(pieces[0])) + Self.mask + String(Substring(pieces[span]))
        (self.span, self.answer, self.also) = (span, answer, also)
    }

    /// Enough of it to be found again.
    private static func shown(_ text: String) -> String {
        text.count > 40 ? text.prefix(40) + "…" : text
    }
}

/// The rows of one file while it is read: how many there may be, and that no sentence comes twice.
struct RowList {
    private(set) var rows: [Row] = []
    /// Lines of sentences, by bytes: two that are canonically equivalent are two.
    private var lines: [[UInt8]: Int] = [:]

    mutating func append(
        sentence: String, answer: String, also: [String], at place: Row.Place
    ) throws(EvaluationError) {
        guard rows.count < Suite.mostRows else { throw .tooManyRows(file: place.file, limit: Suite.mostRows) }
        let row = try Row(sentence: sentence, answer: answer, also: also, at: place)
        if let earlier = lines.updateValue(place.line, forKey: Array(sentence.utf8)) {
            throw .duplicate(file: place.file, line: place.line, earlier: earlier)
        }
        rows.append(row)
    }
}

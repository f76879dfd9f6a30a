public import Tokenizer

/// A site's own words, cut into a version's pieces.
public struct TermTable: Sendable {
    /// What a term's probability is multiplied by where its line says nothing.
    public static let boost = 10.0

    let words: [SpanSearch.Word]
    let boosts: [[Int32]: Float]
    /// Longer than what competes without them.
    let longLengths: Set<Int>
    /// Terms that this version's vocabulary has no pieces for, or that are of more than `Span.most`.
    public let unknown: Int
    /// Whose list it is; 0: nobody's.
    public let generation: Int
    public var count: Int { words.count }

    public static let none = TermTable([], tokenizer: nil, generation: 0)

    public init(_ terms: [(text: String, weight: Double?)], tokenizer: Tokenizer, generation: Int = 0) {
        self.init(terms, tokenizer: Optional(tokenizer), generation: generation)
    }

    private init(_ terms: [(text: String, weight: Double?)], tokenizer: Tokenizer?, generation: Int) {
        self.generation = generation
        var boosts: [[Int32]: Float] = [:]
        var unknown = 0
        for term in terms {
            guard let tokenizer, let pieces = tokenizer.word(term.text, folding: .auto), pieces.count <= Span.most else {
                unknown += 1
                continue
            }
            boosts[pieces] = max(boosts[pieces] ?? 0, Float(term.weight ?? Self.boost))
        }
        self.unknown = unknown
        self.boosts = boosts
        words = boosts.map { SpanSearch.Word(pieces: $0.key, boost: $0.value) }.sorted {
            $0.pieces.lexicographicallyPrecedes($1.pieces)
        }
        longLengths = Set(words.map(\.pieces.count)).subtracting(Span.competing)
    }
}

extension Tokenizer {
    /// A word's pieces without the special ones; nil where one of them is unknown, or there are none.
    func word(_ text: String, folding: CaseFolding) -> [Int32]? {
        guard let encoding = try? encode(text, folding: folding, limit: 64) else { return nil }
        let pieces = Array(encoding.ids.dropFirst().dropLast())
        return pieces.isEmpty || pieces.contains { vocabulary.isSpecial($0) } ? nil : pieces
    }

    /// Pieces as a word: nothing between 汉字, a space between two that would run together.
    package func word(of pieces: [Int32]) -> String {
        var text = ""
        for piece in pieces {
            let next = pieceText(piece)
            let runsOn = vocabulary[Int(piece)].utf8.starts(with: "##".utf8)
            if !runsOn, let last = text.utf8.last, let first = next.utf8.first, Self.isWordByte(last), Self.isWordByte(first) {
                text += " "
            }
            text += next
        }
        return text
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
        default: false
        }
    }
}

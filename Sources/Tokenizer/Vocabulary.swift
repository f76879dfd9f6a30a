/// The pieces of a model, found by their UTF-8 bytes.
///
/// Bytes and not `String`'s `==`, which holds canonically equivalent texts for equal: a vocabulary has both 가 and its
/// jamo, both 豈 (U+F900) and 豈 (U+8C48). Open addressing over FNV-1a, so that a look-up allocates nothing.
public struct Vocabulary: Sendable {
    private let pieces: [String]
    private let bytes: [UInt8]
    /// Piece `id` is `bytes[starts[id]..<starts[id + 1]]`.
    private let starts: [Int32]
    private let whole: PieceTable
    /// The pieces that begin with `##`, without it.
    private let continuing: PieceTable
    /// Scalars of the longest piece.
    let longest: Int

    public let unknown, start, end, mask, padding: Int32
    /// Some piece consists of Latin letters with a capital among them.
    public let hasLatinCapitals: Bool

    /// - Throws: `.pieceMissing`, `.pieceTwice`.
    public init(pieces: [String]) throws(TokenizerError) {
        self.pieces = pieces
        var bytes: [UInt8] = []
        var starts: [Int32] = [0]
        for piece in pieces {
            bytes += piece.utf8
            starts.append(Int32(bytes.count))
        }
        var whole = PieceTable(count: pieces.count)
        var continuing = PieceTable(count: pieces.count)
        for (id, piece) in pieces.enumerated() {
            let range = Int(starts[id])..<Int(starts[id + 1])
            if let first = whole.insert(Int32(id), range, in: bytes) {
                throw .pieceTwice(piece, first: Int(first), second: id)
            }
            if range.count > 2, bytes[range].starts(with: "##".utf8) {
                _ = continuing.insert(Int32(id), range.dropFirst(2), in: bytes)
            }
        }
        (self.bytes, self.starts, self.whole, self.continuing) = (bytes, starts, whole, continuing)
        longest = pieces.reduce(1) { max($0, $1.unicodeScalars.count) }
        hasLatinCapitals = pieces.contains { Self.isLatinWithCapital($0) }

        func special(_ piece: String) throws(TokenizerError) -> Int32 {
            let id = Array(piece.utf8).withUnsafeBufferPointer { whole.find($0, hash: PieceTable.hash($0), in: bytes) }
            guard let id else { throw .pieceMissing(piece) }
            return id
        }
        unknown = try special("[UNK]")
        start = try special("[CLS]")
        end = try special("[SEP]")
        mask = try special("[MASK]")
        padding = try special("[PAD]")
    }

    public var count: Int { pieces.count }

    public subscript(_ id: Int) -> String { pieces[id] }

    public func id(of piece: String) -> Int32? {
        var piece = piece
        return piece.withUTF8 { whole.find($0, hash: PieceTable.hash($0), in: bytes) }
    }

    public func isSpecial(_ id: Int32) -> Bool {
        id == unknown || id == start || id == end || id == mask || id == padding
    }

    /// - Parameters:
    ///   - text: the part of a word.
    ///   - hash: its `PieceTable.hash`.
    func piece(_ text: UnsafeBufferPointer<UInt8>, hash: UInt64, continues: Bool) -> Int32? {
        (continues ? continuing : whole).find(text, hash: hash, in: bytes)
    }

    private static func isLatinWithCapital(_ piece: String) -> Bool {
        var letters = Substring(piece).unicodeScalars
        if piece.utf8.starts(with: "##".utf8) { letters = letters.dropFirst(2) }
        return !letters.isEmpty && letters.allSatisfy { Latin.isLetter($0) } && letters.contains { Latin.folded($0) != nil }
    }
}

/// Ids by the bytes of their pieces.
struct PieceTable: Sendable {
    private struct Slot {
        var id: Int32 = -1
        var start: Int32 = 0
        var end: Int32 = 0
    }

    private var slots: [Slot]
    private let mask: Int

    init(count: Int) {
        var capacity = 16
        while capacity < count * 2 { capacity *= 2 }
        slots = Array(repeating: Slot(), count: capacity)
        mask = capacity - 1
    }

    static let offsetBasis: UInt64 = 0xCBF2_9CE4_8422_2325

    @inline(__always) static func hash(_ byte: UInt8, after hash: UInt64) -> UInt64 {
        (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }

    static func hash(_ text: UnsafeBufferPointer<UInt8>) -> UInt64 {
        text.reduce(offsetBasis) { hash($1, after: $0) }
    }

    /// FNV's low bits are weak for short keys: fold the high ones in.
    private func place(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash ^ (hash >> 29)) & mask }

    func find(_ text: UnsafeBufferPointer<UInt8>, hash: UInt64, in bytes: [UInt8]) -> Int32? {
        var at = place(hash)
        while slots[at].id >= 0 {
            let slot = slots[at]
            if Int(slot.end - slot.start) == text.count,
                bytes.withUnsafeBufferPointer({ bytes in
                    var index = 0
                    while index < text.count, bytes[Int(slot.start) + index] == text[index] { index += 1 }
                    return index == text.count
                })
            {
                return slot.id
            }
            at = (at + 1) & mask
        }
        return nil
    }

    /// - Returns: the id that has these bytes already, or nil.
    mutating func insert(_ id: Int32, _ range: Range<Int>, in bytes: [UInt8]) -> Int32? {
        let hash = bytes.withUnsafeBufferPointer { Self.hash(UnsafeBufferPointer(rebasing: $0[range])) }
        let known = bytes.withUnsafeBufferPointer {
            find(UnsafeBufferPointer(rebasing: $0[range]), hash: hash, in: bytes)
        }
        if let known { return known }
        var at = place(hash)
        while slots[at].id >= 0 { at = (at + 1) & mask }
        slots[at] = Slot(id: id, start: Int32(range.lowerBound), end: Int32(range.upperBound))
        return nil
    }
}

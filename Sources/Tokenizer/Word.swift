/// The normalised characters of a word on its way, as UTF-8, with the scalar of the text that each came from.
///
/// Beyond `longest` characters only the count and the last origin matter: such a word is unknown as a whole.
struct Word {
    /// `max_input_chars_per_word`
    static let longest = 100

    private var bytes: [UInt8] = []
    /// Character `i` is `bytes[ends[i - 1]..<ends[i]]`.
    private var ends: [Int32] = []
    private var origins: [Int32] = []
    private(set) var count = 0
    private var lastOrigin: Int32 = 0
    private var hashes: [UInt64] = []

    func origin(_ index: Int) -> Int32 { index < origins.count ? origins[index] : lastOrigin }

    @inline(__always)
    mutating func append(_ scalar: Unicode.Scalar, _ origin: Int32) {
        count += 1
        lastOrigin = origin
        guard count <= Self.longest else { return }
        let value = scalar.value
        switch value {
        case 0..<0x80: bytes.append(UInt8(value))
        case 0..<0x800: bytes += [UInt8(0xC0 | value >> 6), UInt8(0x80 | value & 0x3F)]
        case 0..<0x10000:
            bytes.append(UInt8(0xE0 | value >> 12))
            bytes.append(UInt8(0x80 | value >> 6 & 0x3F))
            bytes.append(UInt8(0x80 | value & 0x3F))
        default: bytes += UTF8.encode(scalar)!
        }
        ends.append(Int32(bytes.count))
        origins.append(origin)
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        origins.removeAll(keepingCapacity: true)
        count = 0
    }

    /// The id and the number of characters of the longest piece that stands at a character; nil if none does.
    mutating func longestPiece(from first: Int, in vocabulary: Vocabulary) -> (Int32, Int)? {
        let start = first == 0 ? 0 : Int(ends[first - 1])
        let most = min(count - first, vocabulary.longest)
        // One pass of hashing gives the hash of every prefix.
        hashes.removeAll(keepingCapacity: true)
        var hash = PieceTable.offsetBasis
        var at = start
        for character in first..<first + most {
            while at < Int(ends[character]) {
                hash = PieceTable.hash(bytes[at], after: hash)
                at += 1
            }
            hashes.append(hash)
        }
        return bytes.withUnsafeBufferPointer { bytes in
            for length in stride(from: most, to: 0, by: -1) {
                let text = UnsafeBufferPointer(rebasing: bytes[start..<Int(ends[first + length - 1])])
                if let id = vocabulary.piece(text, hash: hashes[length - 1], continues: first > 0) { return (id, length) }
            }
            return nil
        }
    }
}

/// Sequences of different lengths, one after the other without padding.
struct Batch: Sendable {
    /// Vocabulary ids of all tokens, special ones included.
    private(set) var ids: [Int32] = []
    /// Sequence `s` is `ids[starts[s]..<starts[s + 1]]`.
    private(set) var starts: [Int] = [0]
    /// The blanks' indices into `ids`, rising; only they reach the head.
    private(set) var blanks: [Int] = []
    /// The blanks of sequence `s` are `blanks[blankStarts[s]..<blankStarts[s + 1]]`.
    private(set) var blankStarts: [Int] = [0]

    var sequences: Int { starts.count - 1 }
    /// Tokens of the longest sequence.
    private(set) var longest = 0

    /// - Parameter blanks: positions within the sequence, rising.
    mutating func append(_ sequence: [Int32], blanks positions: [Int]) {
        let start = ids.count
        ids += sequence
        starts.append(ids.count)
        longest = max(longest, sequence.count)
        blanks += positions.map { start + $0 }
        blankStarts.append(blanks.count)
    }

    /// Another batch's sequences behind these.
    mutating func append(_ other: Batch) {
        let (tokens, blanks) = (ids.count, self.blanks.count)
        ids += other.ids
        starts += other.starts.dropFirst().map { $0 + tokens }
        self.blanks += other.blanks.map { $0 + tokens }
        blankStarts += other.blankStarts.dropFirst().map { $0 + blanks }
        longest = max(longest, other.longest)
    }
}

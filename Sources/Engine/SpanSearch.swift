import Glibc

/// Best-first search for the best words of several lengths on one probability scale (scoring.md). Pure: it says which
/// partial words it wants distributions for, and is told them.
///
/// A word of ℓ pieces is filled in the order σ_ℓ of its positions; its probability is P(ℓ) times a product of softmaxes,
/// each given what is filled before. A partial word's product bounds all its completions.
package struct SpanSearch {
    /// What one position says, its blank being filled as far as a partial word is.
    struct Position {
        /// Best first; as many as were asked for, what may not be a candidate left out.
        var best: [(id: Int32, logP: Float)]
        /// Of what was asked for besides.
        var asked: [Int32: Float] = [:]
        /// Of every piece, where there are many words to look up.
        var every: [Float] = []

        func logP(of id: Int32) -> Float? {
            asked[id] ?? (every.isEmpty ? best.first { $0.id == id }?.logP : every[Int(id)])
        }
    }

    /// One length: the order of its positions, and the distribution at the first of them, nothing being filled.
    struct Length {
        let order: [Int]
        let logP: Float
        let first: Position
        /// Any word may have it; else it is there for terms and targets alone.
        var isOpen = true
    }

    /// Pieces in the order in which they are filled.
    struct Partial: Hashable {
        let length: Int
        var filled: [Int32]
    }

    /// A word that is looked at whatever the others are: a term, or a target.
    package struct Word: Sendable {
        /// In the order of the text.
        let pieces: [Int32]
        /// Raises its score; 1 for a target.
        let boost: Float
        /// Scored to the end, however low it stands.
        let isTarget: Bool

        package init(pieces: [Int32], boost: Float = 1, isTarget: Bool = false) {
            (self.pieces, self.boost, self.isTarget) = (pieces, boost, isTarget)
        }
    }

    struct Fill {
        /// In the order of the text.
        let pieces: [Int32]
        let score: Float
    }

    package struct Limits: Sendable {
        /// Partial words that are expanded at the same time.
        var together = 8
        /// Beyond targets.
        var expansions: Int
        /// Of the round's most probable one: what is less probable waits until it is known what that one leads to, and mostly
        /// need not be looked at then. A model that is sure of itself answers in half the time.
        var share: Float = 0.1
        /// Of so many terms, the most probable by their first piece, the others are not followed.
        var terms = 512
        static let withTerms = Limits(expansions: 16)

        package init(expansions: Int = 12) { self.expansions = expansions }
    }

    private struct Open {
        /// Of any completion; −∞ where only words go on from here.
        var bound: Float
        var logP: Float
        /// Words that go on from here, by their number.
        var words: [Int] = []
        /// The best of their bounds, boosted.
        var wordBound = -Float.infinity
        var isWanted = false

        var priority: Float { max(bound, wordBound) }
    }

    private let lengths: [Int: Length]
    private let words: [Word]
    private let top: Int
    private let limits: Limits
    /// Words of which only targets are listed.
    private let targetsOnly: Bool
    private let boosts: [[Int32]: Float]
    private var open: [Partial: Open] = [:]
    /// Log of the unboosted score, by pieces in the order of the text.
    private var finished: [[Int32]: Float] = [:]
    /// Boosted, ascending, at most `top`.
    private var leaders: [Float] = []
    private var finishedLengths: Set<Int> = []
    private(set) var expansions = 0
    /// What was asked for with `next` and not yet told.
    private var underWay: [Partial: Open] = [:]

    /// - Parameters:
    ///   - lengths: by number of pieces; words of other lengths are left out.
    ///   - boosts: of words that are terms, however they are found.
    init(
        _ lengths: [Int: Length], words: [Word] = [], boosts: [[Int32]: Float] = [:], top: Int, limits: Limits = Limits()
    ) {
        self.boosts = boosts
        self.lengths = lengths
        self.words = words
        self.top = top
        self.limits = limits
        targetsOnly = words.contains(where: \.isTarget)
        let followed = Self.followed(words, lengths, limits.terms)
        for (length, start) in lengths.sorted(by: { $0.key < $1.key }) {
            let going = followed.filter { words[$0].pieces.count == length }
            expand(Partial(length: length, filled: []), Open(bound: start.isOpen ? 0 : -.infinity, logP: start.logP, words: going), start.first)
        }
    }

    /// All targets, and of the terms the `most` with the highest bounds, in their order.
    private static func followed(_ words: [Word], _ lengths: [Int: Length], _ most: Int) -> [Int] {
        guard words.count > most else { return Array(words.indices) }
        var bounds: [(bound: Float, word: Int)] = []
        for (number, word) in words.enumerated() {
            guard let length = lengths[word.pieces.count] else { continue }
            let logP = length.first.logP(of: word.pieces[length.order[0]]) ?? -.infinity
            bounds.append((word.isTarget ? .infinity : length.logP + logP + log(word.boost), number))
        }
        bounds.sort { $0.bound != $1.bound ? $0.bound > $1.bound : $0.word < $1.word }
        return bounds.prefix(max(most, words.count(where: \.isTarget))).map(\.word).sorted()
    }

    /// The partial words to expand next, and which pieces' probabilities are needed beside the best; empty: it is done.
    mutating func next() -> [(partial: Partial, asked: [Int32])] {
        var chosen: [Partial] = []
        var budget = quota()
        let likeliest = best()
        let least = log(limits.share) + (likeliest.map(\.1.priority).filter(\.isFinite).max() ?? 0)
        let due = deepest() + likeliest.filter { $0.1.isWanted || $0.1.priority >= least }
        for (partial, state) in due where !chosen.contains(partial) && chosen.count < limits.together {
            if !state.isWanted {
                guard budget > 0, isWorth(state.priority) else { continue }
                budget -= 1
                expansions += 1
            }
            chosen.append(partial)
        }
        return chosen.map { partial in
            let state = open.removeValue(forKey: partial)!
            underWay[partial] = state
            let place = lengths[partial.length]!.order[partial.filled.count]
            return (partial, Array(Set(state.words.map { words[$0].pieces[place] })).sorted())
        }
    }

    /// The position that is to be filled next in a partial word.
    func place(of partial: Partial) -> Int { lengths[partial.length]!.order[partial.filled.count] }

    /// A partial word's pieces in the order of the text, nil where nothing is filled yet.
    func pieces(of partial: Partial) -> [Int32?] {
        let order = lengths[partial.length]!.order
        var pieces = [Int32?](repeating: nil, count: partial.length)
        for (place, piece) in zip(order, partial.filled) { pieces[place] = piece }
        return pieces
    }

    mutating func tell(_ partial: Partial, _ position: Position) {
        guard let state = underWay.removeValue(forKey: partial) else { return }
        expand(partial, state, position)
    }

    /// The best words, best first. Boosted scores are divided by 1 + Σ (β − 1)·score of the terms that were finished, so that
    /// the scores of all words still sum to 1 at most.
    var fills: [Fill] {
        var sum: Float = 1
        var scored: [(pieces: [Int32], score: Float)] = []
        let wanted = targetsOnly ? Set(words.filter(\.isTarget).map(\.pieces)) : nil
        // In an order of its own, for sums depend on theirs.
        for (pieces, logP) in finished.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let score = exp(logP), boost = boosts[pieces] ?? 1
            sum += (boost - 1) * score
            if wanted?.contains(pieces) ?? true { scored.append((pieces, boost * score)) }
        }
        scored.sort { $0.score != $1.score ? $0.score > $1.score : $0.pieces.lexicographicallyPrecedes($1.pieces) }
        return scored.prefix(top).map { Fill(pieces: $0.pieces, score: min(1, $0.score / sum)) }
    }

    // MARK: - Steps

    /// How many may be expanded now: what is left, spread over the rounds that the longest unfinished word needs. Else a model
    /// that is unsure would spend all on first pieces, and no long word would ever be finished.
    private func quota() -> Int {
        let left = limits.expansions - expansions
        var rounds: [Int: Int] = [:]
        for (partial, state) in open where !finishedLengths.contains(partial.length) && state.bound > -.infinity {
            rounds[partial.length] = min(rounds[partial.length] ?? .max, partial.length - partial.filled.count)
        }
        return max(min(left, 1), left / max(1, rounds.values.max() ?? 1))
    }

    /// Of each length of which no word is finished yet, the best of those that have come furthest.
    private func deepest() -> [(Partial, Open)] {
        guard !targetsOnly else { return [] }
        var best: [Int: (key: Partial, value: Open)] = [:]
        for entry in open where !finishedLengths.contains(entry.key.length) && entry.value.bound > -.infinity {
            guard let other = best[entry.key.length] else {
                best[entry.key.length] = entry
                continue
            }
            let depths = (entry.key.filled.count, other.key.filled.count)
            if depths.0 != depths.1 ? depths.0 > depths.1 : precedes(entry, other) { best[entry.key.length] = entry }
        }
        return best.values.sorted(by: precedes).map { ($0.key, $0.value) }
    }

    private func precedes(_ one: (key: Partial, value: Open), _ other: (key: Partial, value: Open)) -> Bool {
        if one.value.isWanted != other.value.isWanted { return one.value.isWanted }
        if one.value.priority != other.value.priority { return one.value.priority > other.value.priority }
        if one.key.length != other.key.length { return one.key.length < other.key.length }
        return one.key.filled.lexicographicallyPrecedes(other.key.filled)
    }

    /// The `together` that come next: what targets need, then the highest bounds; equal ones in an order of their own.
    private func best() -> [(Partial, Open)] {
        var best: [(key: Partial, value: Open)] = []
        for entry in open {
            if best.count == limits.together {
                guard precedes(entry, best[best.count - 1]) else { continue }
                best.removeLast()
            }
            best.insert(entry, at: best.firstIndex { precedes(entry, $0) } ?? best.endIndex)
        }
        return best.map { ($0.key, $0.value) }
    }

    private func isWorth(_ bound: Float) -> Bool { leaders.count < top || bound > leaders[0] }

    private mutating func expand(_ partial: Partial, _ state: Open, _ position: Position) {
        let length = lengths[partial.length]!
        let place = length.order[partial.filled.count]
        if state.bound > -.infinity && !targetsOnly {
            for (id, logP) in position.best { add(partial, id, state.logP + logP) { $0.bound = $1 } }
        }
        for number in state.words {
            let word = words[number]
            guard let logP = position.logP(of: word.pieces[place]), logP > -.infinity || word.isTarget else { continue }
            add(partial, word.pieces[place], state.logP + logP) { open, bound in
                open.words.append(number)
                open.wordBound = max(open.wordBound, bound + log(word.boost))
                open.isWanted = open.isWanted || word.isTarget
            }
        }
    }

    private mutating func add(_ partial: Partial, _ piece: Int32, _ logP: Float, _ note: (inout Open, Float) -> Void) {
        var child = partial
        child.filled.append(piece)
        if child.filled.count == child.length { return finish(child, logP) }
        note(&open[child, default: Open(bound: -.infinity, logP: logP)], logP)
    }

    private mutating func finish(_ partial: Partial, _ logP: Float) {
        let pieces = self.pieces(of: partial).map { $0! }
        guard finished.updateValue(logP, forKey: pieces) == nil else { return }
        finishedLengths.insert(partial.length)
        let score = logP + log(boosts[pieces] ?? 1)
        if leaders.count == top {
            guard score > leaders[0] else { return }
            leaders.removeFirst()
        }
        leaders.insert(score, at: leaders.firstIndex { $0 > score } ?? leaders.endIndex)
    }
}

/// Draws rows with replacement and looks how the differences between two models spread.
struct Bootstrap {
    /// What a row adds to each sum. A hundred thousand of them are drawn two thousand times: they are kept small.
    private struct Term {
        let top1: Float
        let top3: Float
        let top5: Float
        let reciprocalRank: Float
        /// Right less confidence; a bin's share of the calibration error is the absolute sum of these (Guo et al. 2017).
        let oldGap: Float
        let newGap: Float
        let oldBin: Int32
        let newBin: Int32

        init(_ pair: MarkPair) {
            func change(_ count: Int) -> Float {
                (pair.new.isWithin(count) ? 1 : 0) - (pair.old.isWithin(count) ? 1 : 0)
            }
            (top1, top3, top5) = (change(1), change(3), change(5))
            reciprocalRank = Float(pair.new.reciprocalRank - pair.old.reciprocalRank)
            oldGap = Float((pair.old.isRight ? 1 : 0) - pair.old.confidence)
            newGap = Float((pair.new.isRight ? 1 : 0) - pair.new.confidence)
            (oldBin, newBin) = (Int32(pair.old.bin), Int32(pair.new.bin))
        }
    }

    private struct Sums {
        var top1 = 0.0
        var top3 = 0.0
        var top5 = 0.0
        var reciprocalRank = 0.0
        var oldGaps = [Double](repeating: 0, count: Figures.binCount)
        var newGaps = [Double](repeating: 0, count: Figures.binCount)

        mutating func add(_ term: Term) {
            top1 += Double(term.top1)
            top3 += Double(term.top3)
            top5 += Double(term.top5)
            reciprocalRank += Double(term.reciprocalRank)
            oldGaps[Int(term.oldBin)] += Double(term.oldGap)
            newGaps[Int(term.newBin)] += Double(term.newGap)
        }

        /// Differences of top-1, top-3, top-5, mean reciprocal rank and calibration error.
        func means(of count: Int) -> [Double] {
            let error = newGaps.reduce(0) { $0 + abs($1) } - oldGaps.reduce(0) { $0 + abs($1) }
            return [top1, top3, top5, reciprocalRank, error].map { $0 / Double(count) }
        }
    }

    private let terms: [Term]

    init(_ pairs: [MarkPair]) { terms = pairs.map(Term.init) }

    /// Of top-1, top-3, top-5, mean reciprocal rank and calibration error, in this order.
    func differences(resamples: Int, seed: UInt64) -> [Comparison.Difference] {
        var whole = Sums()
        for term in terms { whole.add(term) }
        var generator = SplitMix64(seed: seed)
        let drawn = (0..<resamples).map { _ in
            var sums = Sums()
            for _ in terms.indices { sums.add(terms[generator.index(below: terms.count)]) }
            return sums.means(of: terms.count)
        }
        let beyond = resamples / 40
        return whole.means(of: terms.count).enumerated().map { measure, value in
            let sorted = drawn.map { $0[measure] }.sorted()
            return Comparison.Difference(value: value, low: sorted[beyond], high: sorted[resamples - 1 - beyond])
        }
    }
}

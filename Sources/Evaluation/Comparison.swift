/// What changed from one model to another on the same rows, new less old.
///
/// Intervals are the middle 95 % of a paired bootstrap over rows (Efron and Tibshirani, "An Introduction to the
/// Bootstrap", 1993, chapter 13; Koehn, EMNLP 2004): a row is drawn with both of its outcomes, so that what is hard for
/// both models widens nothing. The seed is fixed; the same outcomes give the same intervals everywhere.
public struct Comparison: Sendable, Equatable {
    public struct Difference: Sendable, Equatable {
        public let value: Double
        /// Bounds of the 95 % interval.
        public let low: Double
        public let high: Double

        public init(value: Double, low: Double, high: Double) {
            (self.value, self.low, self.high) = (value, low, high)
        }

        public var excludesZero: Bool { low > 0 || high < 0 }
        public var halfWidth: Double { (high - low) / 2 }
    }

    /// How many rows both models answered; where it is 0, so is all else.
    public let rows: Int
    public let top1: Difference
    public let top3: Difference
    public let top5: Difference
    public let mrr: Difference
    /// A resample's own error is a little above the rows' (a bin's sum of noise has no sign); in a difference that
    /// nearly cancels.
    public let ece: Difference

    /// Whether the models differ in more than chance would explain: an interval of `top1` or `top3` excludes 0. Of
    /// models that do not differ, somewhat fewer than one comparison in ten says so.
    public var drifted: Bool { top1.excludesZero || top3.excludesZero }

    /// The smallest drop of top-1 that this suite can show, 0 to 1.
    ///
    /// It is half the width of the interval of `top1`: a drop of that size, on rows as changeable as these, is the
    /// first whose interval no longer reaches 0. Never less than four rows: where three changed for the worse and none
    /// for the better, a resample misses all three with a chance of e⁻³ ≈ 5 %, more than the 2.5 % beyond a bound.
    public var smallestDrop: Double {
        rows == 0 ? 1 : min(1, max(top1.halfWidth, 4 / Double(rows)))
    }

    public static let resamples = 2_000

    /// - Precondition: outcomes are of this suite's rows. Rows that only one of both answered do not count.
    public init(suite: Suite, old: [Outcome], new: [Outcome]) { self.init(MarkPair.all(suite, old, new)) }

    /// Of all rows together.
    public static func pooled(_ parts: [(suite: Suite, old: [Outcome], new: [Outcome])]) -> Comparison {
        Comparison(parts.flatMap { MarkPair.all($0.suite, $0.old, $0.new) })
    }

    init(_ pairs: [MarkPair]) {
        rows = pairs.count
        guard !pairs.isEmpty else {
            let none = Difference(value: 0, low: 0, high: 0)
            (top1, top3, top5, mrr, ece) = (none, none, none, none, none)
            return
        }
        let found = Bootstrap(pairs).differences(resamples: Self.resamples, seed: 0x7469_616E_6B6F_6E67)
        (top1, top3, top5, mrr, ece) = (found[0], found[1], found[2], found[3], found[4])
    }
}

/// One row with both of its outcomes.
struct MarkPair: Sendable {
    let old: Mark
    let new: Mark

    static func all(_ suite: Suite, _ old: [Outcome], _ new: [Outcome]) -> [MarkPair] {
        let earlier = Dictionary(zip(old.map(\.row), Mark.all(old, of: suite)), uniquingKeysWith: { first, _ in first })
        return zip(new, Mark.all(new, of: suite)).compactMap { outcome, mark in
            earlier[outcome.row].map { MarkPair(old: $0, new: mark) }
        }
    }
}

/// What a model is worth on a suite. Shares, confidences and errors are 0 to 1.
public struct Figures: Sendable, Equatable {
    /// How many were answered; where it is 0, so is all else.
    public let rows: Int
    /// Shares of rows with a right answer among the first one, three and five candidates.
    public let top1: Double
    public let top3: Double
    public let top5: Double
    /// Mean reciprocal rank of the first right candidate; 0 for a row without one (Voorhees, TREC-8, 1999).
    public let mrr: Double
    /// Expected calibration error over `bins` (Guo et al., "On Calibration of Modern Neural Networks", 2017).
    public let ece: Double
    /// Mean confidence of first candidates that were right, and of those that were wrong; nil where there are none.
    public let meanRight: Double?
    public let meanWrong: Double?
    /// Ten equal parts of confidence, each with its lower bound, the last one with 1 too.
    public let bins: [Bin]
    /// Milliseconds, by nearest rank.
    public let p50: Double
    public let p99: Double

    public static let binCount = 10

    /// First candidates of nearly the same confidence.
    public struct Bin: Sendable, Equatable {
        public let count: Int
        /// Sum over the bin.
        public let confidence: Double
        public let right: Int

        public init(count: Int, confidence: Double, right: Int) {
            (self.count, self.confidence, self.right) = (count, confidence, right)
        }
    }

    /// - Precondition: outcomes are of this suite's rows.
    public init(suite: Suite, outcomes: [Outcome]) { self.init(Mark.all(outcomes, of: suite)) }

    /// Of all rows together: a large suite weighs more than a small one.
    public static func pooled(_ parts: [(suite: Suite, outcomes: [Outcome])]) -> Figures {
        Figures(parts.flatMap { Mark.all($0.outcomes, of: $0.suite) })
    }

    init(_ marks: [Mark]) {
        func share(_ value: (Mark) -> Double) -> Double {
            marks.isEmpty ? 0 : marks.reduce(0) { $0 + value($1) } / Double(marks.count)
        }
        rows = marks.count
        top1 = share { $0.isWithin(1) ? 1 : 0 }
        top3 = share { $0.isWithin(3) ? 1 : 0 }
        top5 = share { $0.isWithin(5) ? 1 : 0 }
        mrr = share(\.reciprocalRank)
        bins = (0..<Self.binCount).map { bin in
            let inside = marks.filter { $0.bin == bin }
            return Bin(
                count: inside.count, confidence: inside.reduce(0) { $0 + $1.confidence },
                right: inside.count(where: \.isRight))
        }
        ece = marks.isEmpty ? 0 : bins.reduce(0) { $0 + abs(Double($1.right) - $1.confidence) } / Double(marks.count)
        meanRight = Self.meanConfidence(marks.filter(\.isRight))
        meanWrong = Self.meanConfidence(marks.filter { !$0.isRight })
        let times = marks.map(\.milliseconds).sorted()
        p50 = Self.percentile(50, of: times)
        p99 = Self.percentile(99, of: times)
    }

    private static func meanConfidence(_ marks: [Mark]) -> Double? {
        marks.isEmpty ? nil : marks.reduce(0) { $0 + $1.confidence } / Double(marks.count)
    }

    private static func percentile(_ percent: Int, of sorted: [Double]) -> Double {
        sorted.isEmpty ? 0 : sorted[(sorted.count * percent + 99) / 100 - 1]
    }
}

/// What one row's outcome is worth; all figures are sums of these.
struct Mark: Sendable {
    /// Of the first right candidate, from 1; nil where none was right.
    let rank: Int?
    /// Of the first candidate; 0 where there was none, which then counts as wrong.
    let confidence: Double
    let milliseconds: Double

    init(_ outcome: Outcome, of row: Row) {
        rank = outcome.ranked.firstIndex { row.isRight($0.text) }.map { $0 + 1 }
        let score = outcome.ranked.first?.score ?? 0
        // A softmax rounded to half precision can say a little more than 1.
        confidence = score.isFinite ? min(max(score, 0), 1) : 0
        milliseconds = outcome.milliseconds.isFinite ? outcome.milliseconds : 0
    }

    var isRight: Bool { rank == 1 }
    var reciprocalRank: Double { rank.map { 1 / Double($0) } ?? 0 }

    func isWithin(_ count: Int) -> Bool { rank.map { $0 <= count } ?? false }

    /// Which of the equal-width bins of [0, 1] the confidence is in; 1 is in the last.
    var bin: Int { min(Int(confidence * Double(Figures.binCount)), Figures.binCount - 1) }

    /// - Precondition: outcomes are of this suite's rows.
    static func all(_ outcomes: [Outcome], of suite: Suite) -> [Mark] {
        outcomes.map { outcome in
            precondition(suite.rows.indices.contains(outcome.row), "an outcome of a row that the suite has not")
            return Mark(outcome, of: suite.rows[outcome.row])
        }
    }
}

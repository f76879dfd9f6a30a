import Glibc

/// The same questions to two versions: how often one of them was right where the other was not.
///
/// Questions that both get right, or both wrong, say nothing about which is better (McNemar, Psychometrika 1947).
public struct PairedCounts: Sendable, Equatable {
    public var rows = 0
    /// The live version was right, the candidate wrong.
    public var lost = 0
    /// The reverse.
    public var gained = 0

    public init(rows: Int = 0, lost: Int = 0, gained: Int = 0) { (self.rows, self.lost, self.gained) = (rows, lost, gained) }

    public mutating func add(_ before: Bool, _ after: Bool) {
        rows += 1
        if before, !after { lost += 1 }
        if !before, after { gained += 1 }
    }

    /// Share of rows, negative where the candidate is better.
    public var drop: Double { rows == 0 ? 0 : Double(lost - gained) / Double(rows) }

    /// How probable as many losses are where both versions are equally good: the exact binomial tail of McNemar's test.
    public var chance: Double { Binomial.tail(lost, of: lost + gained, at: 0.5) }

    // MARK: - What counts as a regression

    /// Both are asked for: that chance does not explain it, and that it matters. The first alone would stop every
    /// hundredth healthy patch at each of a dozen suites; the second alone would be a matter of luck on small ones.
    public static let certainty = 0.01
    /// Times the square root of the rows: 6.5 points of 200 rows, 2.7 of 1 200. `docs/ROLLOUT.md` has what follows.
    public static let tolerance = 0.92

    public static func tolerated(rows: Int) -> Double { rows == 0 ? 1 : tolerance / Double(rows).squareRoot() }

    public var isRegression: Bool { drop > Self.tolerated(rows: rows) && chance <= Self.certainty }

    /// The smallest true drop that is found in 19 of 20 cases, where besides `lost + gained` of the rows change anyway.
    public var smallestDrop: Double { Self.smallestDrop(rows: rows, changing: Double(min(lost, gained) * 2) / Double(max(1, rows))) }

    public static func smallestDrop(rows: Int, changing: Double) -> Double {
        guard rows > 0 else { return 1 }
        // d − 1.645·√((changing + d − d²)/n) = what is asked of what is found, by bisection: the left side rises with d
        // where it matters. Asked is more than what is tolerated, and more than chance explains (2.326 standard errors).
        let share = Double(rows)
        var (low, high) = (tolerated(rows: rows), 1.0)
        for _ in 0..<40 {
            let drop = (low + high) / 2
            let spread = ((changing + drop - drop * drop) / share).squareRoot()
            let asked = max(tolerated(rows: rows), 2.326 * ((changing + drop) / share).squareRoot())
            if drop - 1.645 * spread >= asked { high = drop } else { low = drop }
        }
        return high
    }
}

enum Binomial {
    /// P(X ≥ k) of n trials at p.
    static func tail(_ k: Int, of n: Int, at p: Double) -> Double {
        if k <= 0 { return 1 }
        if k > n { return 0 }
        let (hit, miss) = (log(p), log1p(-p))
        var sum = 0.0
        for i in k...n {
            let ways = lgamma(Double(n + 1)) - lgamma(Double(i + 1)) - lgamma(Double(n - i + 1))
            let term = exp(ways + Double(i) * hit + Double(n - i) * miss)
            sum += term
            // Behind the likeliest one they only fall.
            if Double(i) > Double(n) * p, term < 1e-12 * sum { break }
        }
        return min(1, sum)
    }
}

import Evaluation
import Testing

@Suite("a comparison of two models on the same rows")
struct ComparisonTests {
    @Test("a model against itself shows nothing, and says what it could have shown")
    func same() throws {
        let outcomes = (0..<200).map { outcome($0, rank: $0.isMultiple(of: 3) ? 1 : 2, confidence: 0.6) }
        let comparison = Comparison(suite: try suite(200), old: outcomes, new: outcomes)
        let none = Comparison.Difference(value: 0, low: 0, high: 0)
        #expect(comparison.rows == 200 && !comparison.drifted)
        #expect([comparison.top1, comparison.top3, comparison.top5, comparison.mrr, comparison.ece].allSatisfy { $0 == none })
        #expect(comparison.smallestDrop == 4.0 / 200)
    }

    @Test("differences are new less old, of every measure")
    func signs() throws {
        let suite = try suite(100)
        let old = (0..<100).map { outcome($0, rank: $0 < 80 ? 1 : 4, confidence: 0.8) }
        let new = (0..<100).map { outcome($0, rank: $0 < 50 ? 1 : 4, confidence: 0.8) }
        let comparison = Comparison(suite: suite, old: old, new: new)
        #expect(abs(comparison.top1.value + 0.3) < 1e-12 && comparison.top1.high < 0 && comparison.drifted)
        #expect(abs(comparison.top3.value + 0.3) < 1e-12 && comparison.top5.value == 0)
        #expect(abs(comparison.mrr.value + 0.3 * 0.75) < 1e-6)
        #expect(abs(comparison.ece.value - 0.3) < 1e-6 && comparison.ece.low > 0)
        let back = Comparison(suite: suite, old: new, new: old)
        #expect(back.top1.value == -comparison.top1.value && back.drifted)
    }

    @Test("the same outcomes give the same intervals, in whatever order the old ones come")
    func seeded() throws {
        let (suite, old, new) = try pair(rows: 150, seed: 1, change: 0.1)
        #expect(Comparison(suite: suite, old: old, new: new) == Comparison(suite: suite, old: old.reversed(), new: new))
    }

    @Test("an interval is as wide as the normal approximation for paired shares (Agresti, 2002, 10.1)")
    func width() throws {
        let suite = try suite(1_000)
        // 60 rows got worse, 40 better: variance (0.1 - 0.02²) / 1000.
        let old = (0..<1_000).map { outcome($0, rank: $0 < 60 || $0 >= 500 ? 1 : nil) }
        let new = (0..<1_000).map { outcome($0, rank: (60..<100).contains($0) || $0 >= 500 ? 1 : nil) }
        let top1 = Comparison(suite: suite, old: old, new: new).top1
        let halfWidth = 1.96 * ((0.1 - 0.0004) / 1_000).squareRoot()
        #expect(abs(top1.value + 0.02) < 1e-12)
        #expect(abs(top1.halfWidth / halfWidth - 1) < 0.08)
        #expect(abs(Comparison(suite: suite, old: old, new: new).smallestDrop - top1.halfWidth) < 1e-12)
    }

    @Test("of models that do not differ, about one interval in twenty says that they do")
    func coverage() throws {
        var excluding = 0
        for seed in 0..<300 {
            let (suite, old, new) = try pair(rows: 150, seed: UInt64(seed), change: 0)
            if Comparison(suite: suite, old: old, new: new).top1.excludesZero { excluding += 1 }
        }
        #expect((3...30).contains(excluding), "\(excluding) of 300")
    }

    @Test("three rows for the worse are no drift, four are the least that a suite can show")
    func fewest() throws {
        let suite = try suite(200)
        let old = (0..<200).map { outcome($0, rank: 1) }
        func lost(_ count: Int) -> Comparison {
            Comparison(suite: suite, old: old, new: (0..<200).map { outcome($0, rank: $0 < count ? nil : 1) })
        }
        #expect(!lost(3).drifted && lost(4).drifted)
        #expect(lost(3).smallestDrop == 0.02 && lost(100).smallestDrop > 0.06)
    }

    @Test("top-1 alone or top-3 alone is drift, top-5 or the calibration error is not", arguments: [
        (1, 2, true), (3, 4, true), (5, 6, false), (4, 4, false),
    ])
    func either(before: Int, after: Int, drifts: Bool) throws {
        let old = (0..<100).map { outcome($0, rank: before, confidence: 0.1) }
        let new = (0..<100).map { outcome($0, rank: $0 < 20 ? after : before, confidence: 0.9) }
        let comparison = Comparison(suite: try suite(100), old: old, new: new)
        #expect(comparison.drifted == drifts && comparison.ece.excludesZero)
    }

    @Test("rows that only one of both answered do not count; none in common compares nothing")
    func unpaired() throws {
        let suite = try suite(4)
        let old = [outcome(0, rank: 1), outcome(1, rank: 1)]
        #expect(Comparison(suite: suite, old: old, new: [outcome(1, rank: 1), outcome(2, rank: nil)]).rows == 1)
        let none = Comparison(suite: suite, old: old, new: [outcome(3, rank: 1)])
        #expect(none.rows == 0 && !none.drifted && none.smallestDrop == 1)
    }

    @Test("pooled over suites it shows smaller drops than any of them")
    func pooled() throws {
        let parts = try (0..<4).map { try pair(rows: 200, seed: UInt64($0), change: 0) }
        let all = Comparison.pooled(parts)
        #expect(all.rows == 800)
        #expect(parts.allSatisfy { Comparison(suite: $0.suite, old: $0.old, new: $0.new).smallestDrop > all.smallestDrop })
    }

    private func pair(rows: Int, seed: UInt64, change: Double) throws -> (suite: Evaluation.Suite, old: [Outcome], new: [Outcome]) {
        var dice = Dice(seed &* 7_919 &+ 17)
        for _ in 0..<8 { _ = dice.roll() }
        func outcomes(_ share: Double) -> [Outcome] {
            (0..<rows).map { outcome($0, rank: dice.roll() < share ? 1 : 3, confidence: dice.roll()) }
        }
        let old = outcomes(0.6)
        return (try suite(rows), old, outcomes(0.6 + change))
    }
}

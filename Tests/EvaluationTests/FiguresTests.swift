import Evaluation
import Explain
import StrictJSON
import Testing

@Suite("figures of a model on a suite")
struct FiguresTests {
    private func close(_ one: Double?, _ other: Double) -> Bool { one.map { abs($0 - other) < 1e-12 } ?? false }

    @Test("shares, reciprocal rank and calibration are what a hand computes")
    func byHand() throws {
        let ranks: [(Int?, Double)] = [(1, 0.95), (1, 0.85), (2, 0.91), (4, 0.25), (6, 0.25), (nil, 1)]
        let figures = Figures(
            suite: try suite(6), outcomes: ranks.enumerated().map { outcome($0, rank: $1.0, confidence: $1.1) })
        #expect(figures.rows == 6)
        #expect(close(figures.top1, 2.0 / 6) && close(figures.top3, 3.0 / 6) && close(figures.top5, 4.0 / 6))
        #expect(close(figures.mrr, (1 + 1 + 1.0 / 2 + 1.0 / 4 + 1.0 / 6) / 6))
        // Bins: 0.2 holds two wrong ones, 0.8 a right one, 0.9 one right of three.
        #expect(figures.bins.map(\.count) == [0, 0, 2, 0, 0, 0, 0, 0, 1, 3])
        #expect(figures.bins.map(\.right) == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
        #expect(close(figures.bins[9].confidence, 0.95 + 0.91 + 1))
        #expect(close(figures.ece, (0.5 + 0.15 + (2.86 - 1)) / 6))
        #expect(close(figures.meanRight, 0.9) && close(figures.meanWrong, (0.91 + 0.25 + 0.25 + 1) / 4))
    }

    @Test("a model that knows how often it is right has no calibration error")
    func calibrated() throws {
        let outcomes = (0..<100).map { outcome($0, rank: $0 < 70 ? 1 : nil, confidence: 0.7) }
        let figures = Figures(suite: try suite(100), outcomes: outcomes)
        #expect(figures.ece < 1e-12 && close(figures.top1, 0.7))
    }

    @Test("no candidate at all is wrong with no confidence; scores beyond 0 to 1 are held to it")
    func extremes() throws {
        let outcomes = [
            Outcome(row: 0, ranked: [], milliseconds: 1), outcome(1, rank: 1, confidence: 1.001),
            outcome(2, rank: nil, confidence: .nan), outcome(3, rank: nil, confidence: -1),
        ]
        let figures = Figures(suite: try suite(4), outcomes: outcomes)
        #expect(figures.bins[0].count == 3 && figures.bins[9].count == 1 && figures.bins[9].confidence == 1)
        #expect(figures.meanWrong == 0 && figures.ece == 0 && figures.mrr == 0.25)
    }

    @Test("without outcomes everything is 0, and means that nothing has are none")
    func empty() throws {
        let figures = Figures(suite: try suite(1), outcomes: [])
        #expect(figures.rows == 0 && figures.top1 == 0 && figures.ece == 0 && figures.p99 == 0)
        #expect(figures.meanRight == nil && figures.meanWrong == nil)
        #expect(Figures.pooled([]) == figures)
    }

    @Test("percentiles are times that occurred, by nearest rank")
    func percentiles() throws {
        let times = (0..<200).map { outcome($0, rank: 1, milliseconds: Double(200 - $0)) }
        let figures = Figures(suite: try suite(200), outcomes: times)
        #expect(figures.p50 == 100 && figures.p99 == 198)
        let one = Figures(suite: try suite(1), outcomes: [outcome(0, rank: 1, milliseconds: 7)])
        #expect(one.p50 == 7 && one.p99 == 7)
    }

    @Test("pooled figures weigh rows, not suites, and bins are of all rows")
    func pooled() throws {
        let small = (suite: try suite(1), outcomes: [outcome(0, rank: 1, confidence: 0.55)])
        let large = (suite: try suite(3), outcomes: (0..<3).map { outcome($0, rank: nil, confidence: 0.55) })
        let figures = Figures.pooled([small, large])
        #expect(figures.rows == 4 && figures.top1 == 0.25 && figures.bins[5].count == 4)
        #expect(close(figures.ece, 0.55 - 0.25))
    }

    @Test("figures come back from JSON as they were")
    func roundTrip() throws {
        let right = Figures(suite: try suite(3), outcomes: (0..<3).map { outcome($0, rank: 1, confidence: 1.0 / 3) })
        let mixed = Figures(suite: try suite(2), outcomes: [outcome(0, rank: 3), outcome(1, rank: 1, milliseconds: 0.1)])
        for figures in [right, mixed, Figures.pooled([])] {
            #expect(try Figures(JSON(parsing: figures.json.serialized.utf8), of: "x") == figures)
        }
    }

    @Test("figures that no suite can have are refused by field", arguments: [
        ("rows", .integer(-1)), ("rows", "many"), ("top1", .real(1.5)), ("mrr", .real(-0.5)), ("ece", .null), ("mean_right", "high"),
        ("bins", []), ("p50_ms", .bool(true)), ("rows", 3),
    ] as [(String, JSON)])
    func refused(field: String, value: JSON) throws {
        let figures = Figures(suite: try suite(2), outcomes: [outcome(0, rank: 3), outcome(1, rank: 1)])
        let members = try #require(figures.json.members).map { $0.key == field ? JSON.Member(field, value) : $0 }
        #expect { try Figures(.object(members), of: "report.json") } throws: { error in
            guard case EvaluationError.figures("report.json", let detail) = error else { return false }
            return detail.field == field || (field == "rows" && detail.field == "bins")
        }
    }
}

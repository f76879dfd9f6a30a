import Rollout
import StrictJSON
import Testing

@Suite("evidence, counted")
struct EvidenceTests {
    private func pair(
        _ suite: String? = "idiom", live: Int? = 1, candidate: Int? = 1, sure: (Double, Double) = (0.8, 0.8), ms: (Double, Double) = (4, 4),
        failed: (Bool, Bool) = (false, false), same: Bool = true, kept: Bool = true
    ) -> ShadowPair {
        ShadowPair(
            suite: suite, live: .init(rank: live, confidence: sure.0, milliseconds: ms.0, hasFailed: failed.0),
            candidate: .init(rank: candidate, confidence: sure.1, milliseconds: ms.1, hasFailed: failed.1), isSame: same, isKept: kept)
    }

    private func evidence(_ pairs: [ShadowPair]) -> Evidence {
        var evidence = Evidence()
        for pair in pairs { evidence.add(pair) }
        return evidence
    }

    // MARK: - Pairs

    @Test("a row is right first, right among three, or wrong; lost and gained are told apart for both")
    func ranks() throws {
        let cases: [(Int?, Int?, first: (Int, Int), three: (Int, Int), mark: UInt8)] = [
            (1, 1, (0, 0), (0, 0), 2), (1, 2, (1, 0), (0, 0), 1), (1, 3, (1, 0), (0, 0), 1), (1, 4, (1, 0), (1, 0), 0), (1, nil, (1, 0), (1, 0), 0),
            (2, 1, (0, 1), (0, 0), 2), (3, nil, (0, 0), (1, 0), 0), (4, 3, (0, 0), (0, 1), 1), (nil, 1, (0, 1), (0, 1), 2), (nil, nil, (0, 0), (0, 0), 0),
            (5, 5, (0, 0), (0, 0), 0),
        ]
        for (live, candidate, first, three, mark) in cases {
            let domain = try #require(evidence([pair(live: live, candidate: candidate)]).domains["idiom"])
            let note: Comment = "\(String(describing: live)) → \(String(describing: candidate))"
            #expect(domain.first == PairedCounts(rows: 1, lost: first.0, gained: first.1), note)
            #expect(domain.amongThree == PairedCounts(rows: 1, lost: three.0, gained: three.1), note)
            #expect(domain.marks == [mark] && domain.right == (mark == 2 ? 1 : 0) && domain.rightAmongThree == (mark > 0 ? 1 : 0), note)
        }
    }

    @Test("a question that the candidate alone fails is a failure and a lost row, and no time")
    func candidateFails() throws {
        let evidence = evidence([pair(failed: (false, true))])
        let domain = try #require(evidence.domains["idiom"])
        #expect(evidence.failures.failures == 1 && evidence.liveFailures.failures == 0)
        #expect(domain.first == PairedCounts(rows: 1, lost: 1) && domain.amongThree.lost == 1 && domain.marks == [0])
        #expect(evidence.latency.count == 0 && domain.overconfidence.count == 0)
    }

    @Test("a question that the live version fails compares nothing")
    func liveFails() {
        for failed in [(true, false), (true, true)] {
            let evidence = evidence([pair(failed: failed)])
            #expect(evidence.domains.isEmpty && evidence.latency.count == 0)
            #expect(evidence.failures.answers == 1 && evidence.liveFailures.failures == 1)
            #expect(evidence.failures.failures == (failed.1 ? 1 : 0))
        }
    }

    @Test("a recent question says who is still sure, and belongs to no suite")
    func recent() {
        let evidence = evidence([
            pair(nil, live: nil, candidate: nil, sure: (0.5, 0.49), same: false, kept: false), pair(nil, live: nil, candidate: nil, sure: (0.2, 0.9), same: false),
            pair(nil, live: nil, candidate: nil),
        ])
        #expect(evidence.domains.isEmpty && evidence.latency.count == 3 && evidence.failures.answers == 3)
        #expect(evidence.recent.asked == 3 && evidence.recent.different == 2 && evidence.recent.gone == 1)
        #expect(evidence.recent.sure == PairedCounts(rows: 3, lost: 1, gained: 1))
    }

    @Test("what was searched for as long as for a client has its times kept apart as well; as a line it is read back as it was")
    func whole() throws {
        var whole = pair(ms: (4, 9))
        whole.isWhole = true
        let read = try [whole, pair()].map { pair in try #require(ShadowEvent(line: ShadowEvent.pair(pair).line.utf8)) }
        let pairs = read.compactMap { if case .pair(let pair) = $0 { pair } else { nil } }
        #expect(pairs == [whole, pair()])
        let evidence = evidence(pairs)
        #expect(evidence.latency.count == 2 && evidence.wholeLatency.live == [4] && evidence.wholeLatency.candidate == [9])
    }

    @Test("suites are counted apart, and together in the sum")
    func pooled() throws {
        let evidence = evidence([pair("a", candidate: 2), pair("a"), pair("b", live: 2, candidate: 1), pair("b", live: nil, candidate: 3)])
        #expect(evidence.domains.keys.sorted() == ["a", "b"])
        let all = evidence.pooled
        #expect(all.first == PairedCounts(rows: 4, lost: 1, gained: 1) && all.amongThree == PairedCounts(rows: 4, lost: 0, gained: 1))
        #expect(all.right == 2 && all.rightAmongThree == 4 && all.overconfidence.count == 4)
    }

    @Test("over-confidence is what confidence rises by without being right")
    func overconfidence() throws {
        let surer = try #require(evidence([pair(live: 4, candidate: 4, sure: (0.3, 0.8))]).domains["idiom"])
        #expect(abs(surer.overconfidence.mean - 0.5) < 1e-12)
        // Surer and righter is no fault.
        let righter = try #require(evidence([pair(live: 4, candidate: 1, sure: (0.3, 0.8))]).domains["idiom"])
        #expect(abs(righter.overconfidence.mean + 0.5) < 1e-12)
    }

    @Test("confidence that is no number is counted as none")
    func notFinite() {
        let evidence = evidence([pair(sure: (.nan, .infinity), failed: (false, true)), pair(sure: (0.5, -.infinity), failed: (false, true))])
        #expect(evidence.pooled.bins.error.isFinite && evidence.pooled.liveBins.error.isFinite)
    }

    // MARK: - Spread and calibration

    @Test("mean and standard errors of numbers that come one by one")
    func spread() {
        var spread = Spread()
        #expect(spread.mean == 0 && spread.standardised == 0)
        for value in [1.0, 2, 3, 4] { spread.add(value) }
        #expect(spread.count == 4 && spread.mean == 2.5)
        // Deviation 1.29, standard error 0.645.
        #expect(abs(spread.standardised - 2.5 / (5.0 / 3 / 4).squareRoot()) < 1e-9)
        var same = Spread()
        for _ in 0..<10 { same.add(0.1) }
        #expect(same.standardised.isFinite && same.standardised > 0)
    }

    @Test("the calibration error is the distance of confidence from being right, bin by bin")
    func calibration() {
        // 0.75 sure and right in 3 of 4: none. 0.95 sure and always wrong: 0.95.
        let good = evidence((0..<4).map { pair(candidate: $0 == 0 ? 5 : 1, sure: (0.75, 0.75)) })
        #expect(good.pooled.bins.error < 1e-12)
        let bad = evidence((0..<4).map { _ in pair(candidate: 5, sure: (0.75, 0.95)) })
        #expect(abs(bad.pooled.bins.error - 0.95) < 1e-12)
        // Exactly 1 falls into the last bin.
        #expect(abs(evidence([pair(sure: (1, 1))]).pooled.bins.error) < 1e-12)
    }

    // MARK: - McNemar

    @Test("rows that both get right, or both wrong, say nothing")
    func agreeing() {
        var counts = PairedCounts()
        for _ in 0..<1000 {
            counts.add(true, true)
            counts.add(false, false)
        }
        #expect(counts == PairedCounts(rows: 2000) && counts.drop == 0 && counts.chance == 1 && !counts.isRegression)
    }

    @Test("the chance of as many losses is the binomial tail, as McNemar's exact test has it")
    func chance() {
        for (lost, gained, chance) in [(5, 0, 0.03125), (7, 0, 0.0078125), (8, 2, 56.0 / 1024), (0, 9, 1), (9, 1, 11.0 / 1024), (1, 1, 0.75)] {
            #expect(abs(PairedCounts(rows: 100, lost: lost, gained: gained).chance - chance) < 1e-9, "\(lost):\(gained)")
        }
        // Of many: the normal approximation, 3 standard errors.
        #expect(abs(PairedCounts(rows: 100_000, lost: 5150, gained: 4850).chance - 0.00139) < 0.0001)
    }

    @Test("a regression matters and is no chance; either alone is none")
    func regression() {
        for (rows, lost, gained, isRegression) in [
            (200, 14, 0, true), (200, 13, 0, false), (200, 26, 10, true), (200, 24, 10, false),
            // Seven points, but as many as chance explains.
            (200, 57, 43, false),
            // Chance explains nothing of it, but nobody would notice.
            (100_000, 300, 100, false),
            (1200, 32, 0, true), (1200, 31, 0, false), (0, 0, 0, false), (6, 6, 0, false), (7, 7, 0, true), (200, 0, 200, false),
        ] { #expect(PairedCounts(rows: rows, lost: lost, gained: gained).isRegression == isRegression, "\(lost):\(gained) of \(rows)") }
    }

    @Test("the smallest drop falls with the rows, rises with what changes anyway, and is never below what is tolerated")
    func smallestDrop() {
        #expect(PairedCounts().smallestDrop == 1 && PairedCounts.smallestDrop(rows: 0, changing: 0.5) == 1)
        for rows in [1, 2, 5, 10, 50, 200, 1200, 100_000] {
            for changing in [0, 0.04, 0.2, 1] {
                let drop = PairedCounts.smallestDrop(rows: rows, changing: changing)
                #expect(drop <= 1 && drop >= min(1, PairedCounts.tolerated(rows: rows)), "\(rows), \(changing)")
                #expect(drop <= PairedCounts.smallestDrop(rows: rows, changing: min(1, changing + 0.1)))
                #expect(drop >= PairedCounts.smallestDrop(rows: 2 * rows, changing: changing))
            }
        }
        #expect((0.09...0.11).contains(PairedCounts(rows: 200, lost: 3, gained: 0).smallestDrop))
    }

    // MARK: - Latency

    @Test("percentiles are the smallest value that so many do not exceed", arguments: [1, 2, 3, 10, 99, 100, 101, 1300])
    func percentile(count: Int) {
        // In an order of its own, with values that come twice.
        let times = (0..<count).map { Double(($0 * 7919 + 13) % count / 2) }
        let sorted = times.sorted()
        for percent in [1, 50, 90, 99, 100] {
            #expect(LatencyPairs.percentile(percent, of: times) == sorted[max(0, (count * percent + 99) / 100 - 1)], "\(percent) of \(count)")
        }
        #expect(LatencyPairs.percentile(50, of: []) == 0)
    }

    private func latency(_ count: Int, _ time: (Int) -> (Double, Double)) -> LatencyPairs {
        var pairs = LatencyPairs()
        for number in 0..<count {
            let (live, candidate) = time(number)
            pairs.add(live: live, candidate: candidate)
        }
        return pairs
    }

    @Test("fewer than fifty pairs say nothing of times")
    func fewPairs() {
        #expect(latency(49) { _ in (1, 100) }.summary == nil)
        #expect(latency(50) { _ in (1, 100) }.summary?.isSlower == true)
    }

    @Test("slower is what takes 1.7 times as long on the same question, whatever questions are long")
    func slower() throws {
        for (factor, isSlower) in [(1.0, false), (1.69, false), (1.71, true), (2, true), (0.5, false)] {
            let summary = try #require(latency(200) { (Double($0 % 50 + 1), Double($0 % 50 + 1) * factor) }.summary)
            #expect(summary.isSlower == isSlower && !summary.hasTail, "\(factor)")
        }
        #expect(latency(100) { _ in (0, 5) }.summary?.isSlower == true)
    }

    @Test("a tail is seven questions and more that the candidate alone takes long for; long questions and a machine that stalls are none")
    func tail() throws {
        for (slow, hasTail) in [(0, false), (6, false), (7, true), (13, true)] {
            #expect(latency(1300) { (3, $0 < slow ? 12 : 3) }.summary?.hasTail == hasTail, "\(slow)")
        }
        // The same question takes both long.
        #expect(latency(1300) { $0 < 40 ? (30, 31) : (3, 3) }.summary?.hasTail == false)
        // Each stalls as often.
        #expect(latency(1300) { $0 < 12 ? (30, 3) : $0 < 24 ? (3, 30) : (3, 3) }.summary?.hasTail == false)
        // Half as long again is none of these.
        #expect(latency(1300) { (3, $0 < 30 ? 4.4 : 3) }.summary?.hasTail == false)
        #expect(latency(1300) { ($0 < 13 ? 12 : 3, 3) }.summary?.hasTail == false)
    }

    @Test("what follows from the times is worked out when the shadow is complete, and not before")
    func summary() {
        var evidence = evidence((0..<60).map { _ in pair(ms: (1, 3)) })
        #expect(evidence.latencySummary == nil)
        evidence.isShadowComplete = true
        #expect(evidence.latencySummary?.ratio == 3)
        evidence.isShadowComplete = false
        #expect(evidence.latencySummary == nil)
    }

    @Test("memory for times is bounded")
    func bounded() {
        #expect(latency(10_000) { _ in (1, 1) }.count == 8192)
    }

    // MARK: - Failures

    private func test(_ batches: [(Int, Int)]) -> FailureTest {
        var test = FailureTest()
        for (answers, failures) in batches { test.add(answers: answers, failures: failures) }
        return test
    }

    @Test("240 clean answers are enough, three failures in a row too many")
    func failures() {
        #expect(FailureTest.cleanAnswers == 240)
        #expect(test([]).outcome == .open && test([(239, 0)]).outcome == .open && test([(240, 0)]).outcome == .acceptable)
        #expect(test([(2, 2)]).outcome == .open && test([(3, 3)]).outcome == .unacceptable)
        #expect(test([(100, 3)]).outcome == .unacceptable && test([(200, 3)]).outcome == .open)
        #expect(test([(1, 1), (239, 0)]).outcome == .open)
    }

    @Test("it makes no difference whether answers come one by one or many at a time, up to the bounds")
    func batches() {
        var single = FailureTest()
        for number in 0..<200 { single.add(answers: 1, failures: number == 50 ? 1 : 0) }
        let batch = test([(200, 1)])
        #expect(single.outcome == batch.outcome && single.answers == batch.answers && single.failures == batch.failures)
    }

    @Test("a hundred thousand good answers do not outweigh four failures in a row")
    func clamped() {
        #expect(test([(100_000, 0), (3, 3)]).outcome == .acceptable)
        #expect(test([(100_000, 0), (4, 4)]).outcome == .unacceptable)
        #expect(test([(100_000, 0), (25, 4)]).outcome == .unacceptable)
        // And the reverse: one that recovers.
        #expect(test([(50, 50), (500, 0)]).outcome == .unacceptable)
        #expect(test([(50, 50), (700, 0)]).outcome == .acceptable)
    }

    @Test("counters that began anew, and counts that cannot be, change nothing")
    func impossible() {
        let before = test([(100, 1)])
        for (answers, failures) in [(0, 0), (-100, -1), (-100, 0), (5, 6), (5, -1), (0, 1)] {
            var after = before
            after.add(answers: answers, failures: failures)
            #expect(after == before, "\(answers), \(failures)")
        }
    }

    @Test("live traffic is counted look by look, and a counter that begins anew is no evidence")
    func live() {
        var evidence = Evidence()
        evidence.candidate = .init(answers: 5000, failures: 0)
        #expect(evidence.candidateFailures.outcome == .acceptable)
        evidence.candidate = .init(answers: 5020, failures: 4)
        #expect(evidence.candidateFailures.outcome == .unacceptable)
        evidence.candidate = .init(answers: 0, failures: 0)
        #expect(evidence.candidateFailures.answers == 5020 && evidence.candidateFailures.failures == 4)
        evidence.candidate = .init(answers: 10, failures: 0)
        #expect(evidence.candidateFailures.answers == 5030)
    }

    // MARK: - Written

    @Test("figures are shares with the difference from the version before, and the smallest drop beside them")
    func json() throws {
        var evidence = evidence((0..<100).map { pair("idiom", live: $0 < 60 ? 1 : 3, candidate: $0 < 50 ? 1 : 4) })
        evidence.isShadowComplete = true
        let idiom = try #require(evidence.figures(against: "v1")["idiom"])
        #expect(idiom["rows"]?.integer == 100 && idiom["top1"]?.real == 0.5 && idiom["top3"]?.real == 0.5)
        #expect(idiom["against"]?["release"]?.string == "v1" && idiom["against"]?["top1"]?.real == -0.1 && idiom["against"]?["top3"]?.real == -0.5)
        #expect(idiom["smallest_drop"]?.real == ((evidence.domains["idiom"]?.first.smallestDrop ?? 0) * 10_000).rounded() / 10_000)
        let all = evidence.json
        #expect(all["complete"]?.bool == true && all["asked"]?.integer == 100 && all["latency_ms"]?["ratio"]?.real == 1)
        #expect(all["suites"]?["idiom"]?["first"]?["lost"]?.integer == 10)
        #expect(throws: Never.self) { try JSON(parsing: Array(all.serialized.utf8)) }
        #expect(throws: Never.self) { try JSON(parsing: Array(Evidence().json.serialized.utf8)) }
    }
}

import Explain
import Rollout
import StrictJSON
import Testing

@Suite("the verdict")
struct VerdictTests {
    /// A candidate against which nothing speaks.
    private func good(_ change: (inout Evidence) -> Void = { _ in }) -> Evidence {
        var evidence = Evidence()
        for suite in ["a", "b", "c"] { evidence.domains[suite] = domain(200) }
        evidence.failures.add(answers: 600, failures: 0)
        evidence.liveFailures.add(answers: 600, failures: 0)
        for _ in 0..<600 { evidence.latency.add(live: 4, candidate: 4) }
        evidence.memoryLeft = 1 << 30
        change(&evidence)
        evidence.isShadowComplete = true
        return evidence
    }

    private func domain(_ rows: Int, lost: Int = 0, gained: Int = 0) -> Evidence.Domain {
        var domain = Evidence.Domain()
        domain.first = PairedCounts(rows: rows, lost: lost, gained: gained)
        domain.amongThree = PairedCounts(rows: rows)
        return domain
    }

    private func kinds(_ verdict: Verdict) -> [String] { verdict.findings.map(\.kind) }

    @Test("nothing against it and nothing missing: promoted, in the shadow and at every stage")
    func promoted() {
        #expect(Verdict.ofShadow(good()) == .promote)
        for policy in [Policy.normal, .immediate] { #expect(Verdict.ofStage(good(), policy) == .promote) }
    }

    @Test("without evidence there is none: neither promoted nor rolled back")
    func nothing() {
        #expect(kinds(.ofShadow(Evidence())) == ["shadow-unfinished", "failures-open"])
        var asked = Evidence()
        asked.isShadowComplete = true
        #expect(Verdict.ofShadow(asked) == .notEnough([.failuresOpen(answers: 0)]))
        asked.failures.add(answers: 240, failures: 0)
        #expect(Verdict.ofShadow(asked) == .promote)
    }

    @Test("a part of a suite decides nothing, however bad it looks; failures do at once")
    func unfinished() {
        var evidence = Evidence()
        evidence.domains["a"] = domain(100, lost: 60)
        evidence.failures.add(answers: 100, failures: 0)
        #expect(kinds(.ofShadow(evidence)) == ["shadow-unfinished", "failures-open"])
        evidence.failures.add(answers: 5, failures: 5)
        #expect(kinds(.ofShadow(evidence)) == ["failures"])
    }

    @Test("one suite that falls is enough, and it is named")
    func suite() {
        let verdict = Verdict.ofShadow(good { $0.domains["b"] = domain(200, lost: 24, gained: 4) })
        #expect(verdict == .rollBack([.quality(suite: "b", .first, PairedCounts(rows: 200, lost: 24, gained: 4))]))
        #expect(verdict.message.en == "rolled back: suite b, right first: expected a drop of at most 6.5 points, found 10.0 (24 lost, 4 gained of 200)")
        let three = Verdict.ofShadow(good { $0.domains["b"]?.amongThree.lost = 20 })
        #expect(three == .rollBack([.quality(suite: "b", .amongThree, PairedCounts(rows: 200, lost: 20))]))
    }

    @Test("what no suite shows by itself all together may")
    func together() {
        let verdict = Verdict.ofShadow(good { evidence in for name in ["a", "b", "c"] { evidence.domains[name] = domain(200, lost: 13) } })
        #expect(verdict == .rollBack([.quality(suite: nil, .first, PairedCounts(rows: 600, lost: 39))]))
        // One suite alone is not looked at twice.
        var one = Evidence()
        one.domains["a"] = domain(200, lost: 30)
        one.isShadowComplete = true
        #expect(kinds(.ofShadow(one)) == ["quality"])
    }

    @Test("a suite that rises makes up for none that falls")
    func noTrade() {
        #expect(kinds(.ofShadow(good { $0.domains["a"] = domain(200, gained: 100); $0.domains["b"] = domain(200, lost: 24) })) == ["quality"])
    }

    @Test("surer by five points and more than chance, without being righter")
    func overconfident() {
        func verdict(_ by: Double, _ spread: Double) -> Verdict {
            .ofShadow(good { for row in 0..<200 { $0.domains["a"]?.overconfidence.add(by + (row.isMultiple(of: 2) ? spread : -spread)) } })
        }
        #expect(kinds(verdict(0.08, 0.1)) == ["overconfident", "overconfident"])
        #expect(verdict(0.04, 0.01) == .promote)
        #expect(verdict(0.08, 0.9) == .promote)
        #expect(verdict(-0.3, 0.1) == .promote)
    }

    @Test("recent questions that are no longer answered with confidence")
    func unsure() {
        func verdict(_ rows: Int, lost: Int) -> Verdict { .ofShadow(good { $0.recent.sure = PairedCounts(rows: rows, lost: lost) }) }
        #expect(kinds(verdict(100, lost: 30)) == ["unsure"])
        #expect(verdict(100, lost: 19) == .promote)
        #expect(verdict(29, lost: 29) == .promote)
    }

    @Test("failures are held against a candidate only where the live version has fewer")
    func excess() {
        func verdict(live: Int) -> Verdict {
            var evidence = good()
            evidence.failures.add(answers: 100, failures: 20)
            evidence.liveFailures.add(answers: 100, failures: live)
            return .ofShadow(evidence)
        }
        #expect(kinds(verdict(live: 0)) == ["failures"])
        #expect(kinds(verdict(live: 9)) == ["failures"])
        // Nobody knows then: it is held.
        #expect(kinds(verdict(live: 10)) == ["failures-open"])
    }

    @Test("failures of live traffic count at every stage, and do so after thousands of good answers")
    func liveFailures() {
        var evidence = good()
        evidence.live = .init(answers: 5000)
        evidence.candidate = .init(answers: 4000)
        #expect(Verdict.ofStage(evidence, .normal) == .promote)
        evidence.candidate = .init(answers: 4060, failures: 12)
        for policy in Policy.allCases { #expect(kinds(.ofStage(evidence, policy)) == ["failures"]) }
        evidence.live = .init(answers: 5000, failures: 200)
        #expect(Verdict.ofStage(evidence, .normal) == .promote)
    }

    @Test("twice as slow, and a tail; with another shape the deadline counts instead")
    func latency() {
        func verdict(sameShape: Bool = true, _ time: @escaping (Int) -> Double) -> Verdict {
            .ofShadow(good { evidence in
                evidence.latency = LatencyPairs()
                for number in 0..<600 { evidence.latency.add(live: 4, candidate: time(number)) }
                evidence.isSameShape = sameShape
            })
        }
        #expect(kinds(verdict { _ in 8 }) == ["latency"])
        #expect(kinds(verdict { $0 < 10 ? 20 : 4 }) == ["latency"])
        #expect(verdict { _ in 6 } == .promote)
        #expect(verdict(sameShape: false) { _ in 400 } == .promote)
        #expect(kinds(verdict(sameShape: false) { $0 < 10 ? 501 : 4 }) == ["latency"])
        #expect(verdict(sameShape: false) { $0 < 6 ? 501 : 4 } == .promote)
    }

    @Test("one that is slow only where it may search as long as for a client is slow")
    func whole() {
        let evidence = good { evidence in
            for _ in 0..<75 { evidence.wholeLatency.add(live: 4, candidate: 8) }
        }
        #expect(kinds(.ofShadow(evidence)) == ["latency"])
        #expect(evidence.latencyJSON["ratio"]?.real == 1 && evidence.latencyJSON["whole_ratio"]?.real == 2)
        #expect(Verdict.ofShadow(good { evidence in for _ in 0..<75 { evidence.wholeLatency.add(live: 4, candidate: 6) } }) == .promote)
    }

    @Test("memory that runs out is a veto at any time; what cannot be told is none")
    func memory() {
        #expect(kinds(.ofShadow(good { $0.memoryLeft = (32 << 20) - 1 })) == ["memory"])
        #expect(Verdict.ofShadow(good { $0.memoryLeft = 32 << 20 }) == .promote)
        #expect(Verdict.ofShadow(good { $0.memoryLeft = nil }) == .promote)
        #expect(kinds(.ofStage(good { $0.memoryLeft = 0 }, .immediate)) == ["memory"])
    }

    @Test("answers called wrong count by their share of answers; a handful does not")
    func disapproved() {
        func verdict(_ candidate: (Int, Int), _ live: (Int, Int)) -> Verdict {
            .ofStage(
                good {
                    $0.candidate = .init(answers: candidate.1, disapproved: candidate.0)
                    $0.live = .init(answers: live.1, disapproved: live.0)
                }, .normal)
        }
        #expect(kinds(verdict((8, 100), (1, 900))) == ["disapproved"])
        #expect(verdict((4, 100), (0, 900)) == .promote)
        #expect(verdict((20, 1000), (20, 1000)) == .promote)
        #expect(verdict((50, 100), (450, 900)) == .promote)
        // Nobody else was asked: nothing to compare with.
        #expect(verdict((50, 100), (0, 0)) == .promote)
        #expect(verdict((0, 0), (50, 100)) == .promote)
    }

    @Test("careful wants two hundred questions of three clients at each stage; the others want none")
    func careful() {
        func verdict(_ answers: Int, _ clients: Int, _ policy: Policy = .careful) -> Verdict {
            .ofStage(good { $0.stage = .init(answers: answers, clients: clients) }, policy)
        }
        #expect(kinds(verdict(199, 2)) == ["few-questions", "few-clients"])
        #expect(verdict(199, 3) == .notEnough([.fewQuestions(199, wanted: 200)]))
        #expect(verdict(200, 2) == .notEnough([.fewClients(2, wanted: 3)]))
        #expect(verdict(200, 3) == .promote)
        #expect(verdict(0, 0, .normal) == .promote && verdict(0, 0, .immediate) == .promote)
    }

    @Test("what speaks against a candidate comes before what is missing, all of it")
    func order() {
        let evidence = good {
            $0.domains["a"] = domain(200, lost: 40)
            $0.memoryLeft = 0
            for _ in 0..<2000 { $0.latency.add(live: 4, candidate: 40) }
        }
        #expect(kinds(.ofStage(evidence, .careful)) == ["quality", "quality", "latency", "memory"])
    }

    @Test("every finding says in both languages what was expected and what was found, with its numbers")
    func words() throws {
        var failures = FailureTest()
        failures.add(answers: 90, failures: 7)
        var latency = LatencyPairs()
        for number in 0..<100 { latency.add(live: 4, candidate: number < 20 ? 40 : 8) }
        let summary = try #require(latency.summary)
        let findings: [(Finding, kind: String, numbers: [String])] = [
            (.failures(failures), "failures", ["7", "90", "0.1"]),
            (.quality(suite: "idiom", .first, PairedCounts(rows: 200, lost: 30, gained: 6)), "quality", ["idiom", "12.0", "30", "6", "200", "6.5"]),
            (.quality(suite: nil, .amongThree, PairedCounts(rows: 200, lost: 30, gained: 6)), "quality", ["12.0"]),
            (.overconfident(suite: "idiom", by: 0.123), "overconfident", ["idiom", "12.3"]),
            (.unsure(PairedCounts(rows: 80, lost: 33)), "unsure", ["33", "80"]),
            (.slower(summary), "latency", ["1.7", "2.0"]), (.slowest(summary), "latency", ["20", "6.0 ms"]),
            (.beyondDeadline(p99: 612.344, limit: 500), "latency", ["612.34 ms", "500.0 ms"]),
            (.memory(left: 5 << 20), "memory", ["32", "5"]), (.broke("signal 9"), "crash", ["signal 9"]),
            (.disapproved(candidate: 9, of: 100, live: 1, ofLive: 900), "disapproved", ["9", "100", "1", "900"]),
            (.shadowUnfinished, "shadow-unfinished", []), (.failuresOpen(answers: 12), "failures-open", ["240", "12"]),
            (.fewQuestions(3, wanted: 200), "few-questions", ["3", "200"]), (.fewClients(1, wanted: 3), "few-clients", ["1", "3"]),
        ]
        for (finding, kind, numbers) in findings {
            #expect(finding.kind == kind)
            for number in numbers {
                #expect(finding.message.en.contains(number) && finding.message.zh.contains(number), "\(finding.message.en): \(number)")
            }
            #expect(!finding.message.zh.isEmpty && finding.message.zh != finding.message.en)
        }
        #expect(Verdict.notEnough([.shadowUnfinished, .failuresOpen(answers: 0)]).message.en.contains("; "))
        #expect(Verdict.promote.message.en == "nothing speaks against it")
    }

    @Test("a verdict is written with its word and its reasons")
    func json() {
        #expect(Verdict.promote.json["verdict"]?.string == "promote" && Verdict.promote.json["reasons"]?.elements?.count == 0)
        let json = Verdict.rollBack([.memory(left: 0)]).json
        #expect(json["verdict"]?.string == "roll-back" && json["reasons"]?.elements?.first?["kind"]?.string == "memory")
        #expect(Verdict.notEnough([]).json["verdict"]?.string == "not-enough-evidence")
    }
}

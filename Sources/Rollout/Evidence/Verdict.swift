import Explain

/// What the evidence allows to say of a candidate, with the reasons. Pure.
public enum Verdict: Sendable, Equatable {
    case promote
    case rollBack([Finding])
    case notEnough([Finding])

    public var word: String {
        switch self {
        case .promote: "promote"
        case .rollBack: "roll-back"
        case .notEnough: "not-enough-evidence"
        }
    }

    public var findings: [Finding] {
        switch self {
        case .promote: []
        case .rollBack(let findings), .notEnough(let findings): findings
        }
    }
}

/// One reason for a verdict. Shares are 0 to 1, times milliseconds.
public enum Finding: Sendable, Equatable {
    public enum Measure: String, Sendable { case first, amongThree = "top-3" }

    // Against the candidate.
    case failures(FailureTest)
    case quality(suite: String?, Measure, PairedCounts)
    case overconfident(suite: String?, by: Double)
    case unsure(PairedCounts)
    case slower(LatencyPairs.Summary)
    case slowest(LatencyPairs.Summary)
    case beyondDeadline(p99: Double, limit: Double)
    case memory(left: Int)
    /// The process that tried it ended, twice.
    case broke(String)
    /// After the commit.
    case tripped(Breaker.Trip)
    case disapproved(candidate: Int, of: Int, live: Int, ofLive: Int)

    // Missing.
    case shadowUnfinished
    case failuresOpen(answers: Int)
    case fewQuestions(Int, wanted: Int)
    case fewClients(Int, wanted: Int)
}

/// How much evidence is asked for.
public enum Policy: String, Sendable, CaseIterable {
    /// Each stage waits for its own count of live questions besides.
    case careful
    /// Suites and shadow decide, live stages can only veto.
    case normal
    /// None.
    case immediate
}

extension Verdict {
    /// What `careful` waits for at each stage.
    public static let questionsWanted = 200
    public static let clientsWanted = 3
    static let overconfidence = 0.05
    static let standardErrors = 3.3
    public static let memoryWanted = 32 << 20
    /// Share of the deadline that the slowest hundredth may take where the shape is another one.
    static let shareOfDeadline = 0.25

    /// Before the candidate takes traffic.
    public static func ofShadow(_ evidence: Evidence) -> Verdict {
        let against = vetoes(evidence)
        if !against.isEmpty { return .rollBack(against) }
        var missing: [Finding] = []
        if !evidence.isShadowComplete { missing.append(.shadowUnfinished) }
        if evidence.failures.outcome != .acceptable { missing.append(.failuresOpen(answers: evidence.failures.answers)) }
        return missing.isEmpty ? .promote : .notEnough(missing)
    }

    /// While it does.
    public static func ofStage(_ evidence: Evidence, _ policy: Policy) -> Verdict {
        let against = vetoes(evidence)
        if !against.isEmpty { return .rollBack(against) }
        guard policy == .careful else { return .promote }
        var missing: [Finding] = []
        if evidence.stage.answers < questionsWanted { missing.append(.fewQuestions(evidence.stage.answers, wanted: questionsWanted)) }
        if evidence.stage.clients < clientsWanted { missing.append(.fewClients(evidence.stage.clients, wanted: clientsWanted)) }
        return missing.isEmpty ? .promote : .notEnough(missing)
    }

    // MARK: - Against

    private static func vetoes(_ evidence: Evidence) -> [Finding] {
        failing(evidence) + quality(evidence) + latency(evidence) + living(evidence)
    }

    private static func failing(_ evidence: Evidence) -> [Finding] {
        var live = FailureTest()
        live.add(answers: evidence.live.answers, failures: evidence.live.failures)
        return [(evidence.failures, evidence.liveFailures), (evidence.candidateFailures, live)]
            .filter { $0.outcome == .unacceptable && isExcess($0, over: $1) }.map { .failures($0.0) }
    }

    /// A machine that is too busy fails with every version.
    private static func isExcess(_ candidate: FailureTest, over live: FailureTest) -> Bool {
        live.answers < 50 || candidate.share > 2 * live.share
    }

    private static func quality(_ evidence: Evidence) -> [Finding] {
        var findings: [Finding] = []
        func look(_ name: String?, _ domain: Evidence.Domain) {
            for (measure, counts) in [(Finding.Measure.first, domain.first), (.amongThree, domain.amongThree)] where counts.isRegression {
                findings.append(.quality(suite: name, measure, counts))
            }
            let excess = domain.overconfidence
            if excess.mean > overconfidence, excess.standardised > standardErrors {
                findings.append(.overconfident(suite: name, by: excess.mean))
            }
        }
        // Parts of suites say little, and are looked at anew with each answer: only a whole one counts.
        guard evidence.isShadowComplete else { return [] }
        for (name, domain) in evidence.domains.sorted(by: { $0.key < $1.key }) { look(name, domain) }
        if evidence.domains.count > 1 { look(nil, evidence.pooled) }
        let sure = evidence.recent.sure
        if sure.rows >= 30, sure.isRegression, sure.drop > 0.2 { findings.append(.unsure(sure)) }
        return findings
    }

    private static func latency(_ evidence: Evidence) -> [Finding] {
        guard evidence.isShadowComplete else { return [] }
        let summaries = [evidence.latencySummary, evidence.wholeSummary].compactMap(\.self)
        guard evidence.isSameShape else {
            let (slowest, limit) = (summaries.map(\.candidateP99).max() ?? 0, evidence.deadline * shareOfDeadline)
            return slowest > limit ? [.beyondDeadline(p99: slowest, limit: limit)] : []
        }
        if let summary = summaries.first(where: \.isSlower) { return [.slower(summary)] }
        return summaries.first(where: \.hasTail).map { [.slowest($0)] } ?? []
    }

    private static func living(_ evidence: Evidence) -> [Finding] {
        var findings: [Finding] = []
        if let left = evidence.memoryLeft, left < memoryWanted { findings.append(.memory(left: left)) }
        if let finding = disapproval(candidate: evidence.candidate, live: evidence.live) { findings.append(finding) }
        return findings
    }

    /// Answers that people called wrong, against those of the version before. It is looked at again with every click,
    /// for weeks where little is asked, so it takes more than one look would need.
    static func disapproval(candidate: Evidence.Traffic, live: Evidence.Traffic) -> Finding? {
        guard candidate.disapproved >= 5, candidate.answers > 0, live.answers > 0 else { return nil }
        let clicks = candidate.disapproved + live.disapproved
        let share = Double(candidate.answers) / Double(candidate.answers + live.answers)
        guard Double(candidate.disapproved) > 1.5 * share * Double(clicks),
            Binomial.tail(candidate.disapproved, of: clicks, at: share) <= 0.0001
        else { return nil }
        return .disapproved(candidate: candidate.disapproved, of: candidate.answers, live: live.disapproved, ofLive: live.answers)
    }
}

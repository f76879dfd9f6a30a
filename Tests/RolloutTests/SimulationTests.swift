import Evaluation
import Foundation
import Rollout
import Testing

// MARK: - What is drawn

/// A candidate, and what is wrong with it.
private enum Candidate: String, CaseIterable {
    case healthy, failing, domain, all, slower, tail

    var name: String {
        switch self {
        case .healthy: "healthy"
        case .failing: "2 % of answers fail"
        case .domain: "top-1 −12 points on one suite"
        case .all: "top-1 −5 points on all suites"
        case .slower: "everything takes twice as long"
        case .tail: "p99 × 2, the middle unchanged"
        }
    }
}

/// Rollouts as they would go, with numbers drawn in the place of a model: the real machine, evidence, verdict and
/// breaker are asked what follows.
private struct Simulation {
    static let suites = (1...6).map { "suite \($0)" }
    static let rows = 200
    /// Of the live version: right first, and right among three.
    static let first = 0.5
    static let amongThree = 0.7
    /// Failures of a healthy version.
    static let failing = 0.0002
    /// Healthy candidates change up to this share of a suite's rows, half of them for the worse.
    static let mostChanging = 0.08

    let candidate: Candidate
    let questionsADay: Double
    var policy = Policy.normal
    /// nil: drawn anew for each candidate, 0 to `mostChanging`.
    var changing: Double?
    /// Share of both versions' answers that take ten times as long, for the machine's own reasons.
    var stalls = 0.0
    /// Both versions' failures, where the candidate is healthy.
    var baseline = Simulation.failing
    /// Share of answers that people call wrong: of the live version, of the candidate.
    var disapproving = (live: 0.0, candidate: 0.0)

    enum Ending: Equatable { case committed, held, rolledBack(String), tripped }

    struct Outcome {
        var ending: Ending
        var days = 0.0
    }

    func outcome(_ random: inout SplitMix64) -> Outcome {
        var machine = RolloutMachine()
        let ticket = machine.begin("candidate")!
        for phase in [RolloutMachine.Phase.merging, .prewarming, .shadow] { _ = machine.reach(phase, ticket) }
        var evidence = Evidence()
        let changing = changing ?? random.unit() * Self.mostChanging
        if let findings = shadow(&evidence, changing, &random) { return Outcome(ending: .rolledBack(findings[0].kind)) }
        var now = Duration.zero
        var clients = Evidence.Traffic()
        while true {
            let verdict = machine.trial?.phase == .canary ? Verdict.ofStage(evidence, policy) : .ofShadow(evidence)
            switch machine.advance(ticket, verdict, at: now) {
            case .share: clients = evidence.candidate
            case .wait where policy != .careful || machine.trial?.phase == .shadow: return Outcome(ending: .held, days: now / .seconds(86_400))
            case .rollBack(let findings): return Outcome(ending: .rolledBack(findings[0].kind), days: now / .seconds(86_400))
            case .commit: return Outcome(ending: watched(&random) ? .tripped : .committed, days: now / .seconds(86_400))
            case .stay, .wait: break
            }
            // A stage that waits for questions is looked at about forty times.
            let step = policy == .careful ? max(10, 5 * 86_400 / questionsADay / (Double(machine.share) / 100)) : 10
            now += .seconds(step)
            traffic(&evidence, questionsADay * step / 86_400, Double(machine.share) / 100, &random)
            evidence.stage = .init(
                answers: evidence.candidate.answers - clients.answers, failures: evidence.candidate.failures - clients.failures,
                clients: min(evidence.candidate.answers - clients.answers, 20))
        }
    }

    private var failureRate: Double { candidate == .failing ? 0.02 : baseline }

    /// - Returns: why it is rolled back, or nil.
    private func shadow(_ evidence: inout Evidence, _ changing: Double, _ random: inout SplitMix64) -> [Finding]? {
        func isUp() -> [Finding]? {
            guard evidence.failures.answers.isMultiple(of: 32), case .rollBack(let findings) = Verdict.ofShadow(evidence) else { return nil }
            return findings
        }
        for (number, suite) in Self.suites.enumerated() {
            let drop = candidate == .all ? 0.05 : candidate == .domain && number == 0 ? 0.12 : 0
            for place in 0..<Self.rows {
                var pair = row(suite, changing, drop, &random)
                pair.isWhole = place.isMultiple(of: 15)
                evidence.add(pair)
                if let findings = isUp() { return findings }
            }
        }
        // Two days of questions, 200 at most.
        for _ in 0..<Int(min(200, 2 * questionsADay)) {
            evidence.add(row(nil, changing, 0, &random))
            if let findings = isUp() { return findings }
        }
        evidence.isShadowComplete = true
        return nil
    }

    private func row(_ suite: String?, _ changing: Double, _ drop: Double, _ random: inout SplitMix64) -> ShadowPair {
        /// 0 wrong, 1 right among three, 2 right first.
        enum Right { static let not = 0, among = 1, first = 2 }
        let place = random.unit()
        let before = place < Self.first ? Right.first : place < Self.amongThree ? Right.among : Right.not
        // Lost: as many on average as are gained, and what the regression takes.
        let lost = changing / 2 / Self.first
        let gone = drop / (Self.first - changing / 2)
        let luck = random.unit()
        var after = before
        if before == Right.first {
            if luck < lost || luck < lost + gone * (1 - lost) {
                // As often out of the first three as those who are gained come from there.
                after = random.unit() < (1 - Self.amongThree) / (1 - Self.first) ? Right.not : Right.among
            }
        } else if luck < changing / 2 / (1 - Self.first) { after = Right.first }

        func confidence(_ right: Int) -> Double { right == Right.first ? 0.35 + 0.6 * random.unit() : 0.05 + 0.5 * random.unit() }
        let sure = confidence(before)
        let unsure = after == before ? min(1, max(0, sure + 0.1 * (random.unit() + random.unit() - 1))) : confidence(after)

        // Three places in tables out of one number: half of the time goes into drawing.
        let places = random.next()
        let length = Table.question[places]
        func time(_ own: Double) -> Double { 3 * length * own * (stalls > 0 && random.unit() < stalls ? 10 : 1) }
        let live = time(Table.own[places >> 13])
        var took = time(Table.own[places >> 26])
        if candidate == .slower { took *= 2 }
        let failing = random.unit()
        if candidate == .tail, random.unit() < 0.01 { took = 2 * Table.p99 * (1 + random.unit()) }
        let ranks = suite == nil ? (nil, nil) : (Self.ranks[before], Self.ranks[after])
        return ShadowPair(
            suite: suite,
            live: .init(rank: ranks.0, confidence: sure, milliseconds: live, hasFailed: failing > 1 - baseline),
            candidate: .init(rank: ranks.1, confidence: unsure, milliseconds: took, hasFailed: failing < failureRate),
            isSame: before == after, isKept: true)
    }

    private static let ranks: [Int?] = [nil, 3, 1]

    private func traffic(_ evidence: inout Evidence, _ questions: Double, _ share: Double, _ random: inout SplitMix64) {
        let all = random.poisson(questions)
        let toCandidate = random.binomial(all, share)
        let toLive = all - toCandidate
        evidence.candidate.answers += 0
        var candidate = evidence.candidate
        candidate.answers += toCandidate
        candidate.failures += random.binomial(toCandidate, failureRate)
        candidate.disapproved += random.binomial(toCandidate, disapproving.candidate)
        evidence.candidate = candidate
        evidence.live.answers += toLive
        evidence.live.failures += random.binomial(toLive, baseline)
        evidence.live.disapproved += random.binomial(toLive, disapproving.live)
    }

    /// The hour after the commit.
    private func watched(_ random: inout SplitMix64) -> Bool {
        var breaker = Breaker()
        for minute in 1...60 {
            let answers = random.poisson(questionsADay / 1440)
            guard answers > 0 else { continue }
            breaker.add(answers: answers, failures: random.binomial(answers, failureRate), at: .seconds(minute * 60))
            if breaker.trip(at: .seconds(minute * 60)) != nil { return true }
        }
        return false
    }

    /// Factors of time, log-normal: of a question, the same for both versions, and of each answer.
    enum Table {
        static let question = LogNormal(0.35)
        static let own = LogNormal(0.2)
        /// Of the live version.
        static let p99 = 3 * exp(2.3263 * (0.35 * 0.35 + 0.2 * 0.2).squareRoot())
    }

    struct LogNormal: Sendable {
        private let quantiles: [Double]

        init(_ deviation: Double) {
            quantiles = (0..<8192).map { exp(deviation * Self.normal((Double($0) + 0.5) / 8192)) }
        }

        subscript(_ bits: UInt64) -> Double { quantiles[Int(bits & 8191)] }

        /// The standard normal's quantile, by bisection of erfc.
        private static func normal(_ share: Double) -> Double {
            var (low, high) = (-8.0, 8.0)
            for _ in 0..<60 {
                let middle = (low + high) / 2
                if erfc(-middle / 2.0.squareRoot()) / 2 < share { low = middle } else { high = middle }
            }
            return low
        }
    }
}

extension SplitMix64 {
    /// 0 to 1, 1 excluded.
    fileprivate mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    fileprivate mutating func poisson(_ mean: Double) -> Int {
        // Knuth's product, in parts that do not underflow.
        var (left, count) = (mean, 0)
        while left > 0 {
            let limit = exp(-min(left, 30))
            left -= 30
            var product = unit()
            while product > limit {
                count += 1
                product *= unit()
            }
        }
        return count
    }

    /// By the gaps between hits.
    fileprivate mutating func binomial(_ count: Int, _ share: Double) -> Int {
        guard share > 0, count > 0 else { return 0 }
        guard share < 1 else { return count }
        var (place, hits) = (0.0, 0)
        while true {
            place += (log(1 - unit()) / log(1 - share)).rounded(.down) + 1
            if place > Double(count) { return hits }
            hits += 1
        }
    }
}

/// What became of many.
private struct Tally {
    var count = 0
    var committed = 0, held = 0, tripped = 0
    var rolledBack: [String: Int] = [:]
    var days = 0.0

    mutating func add(_ outcome: Simulation.Outcome) {
        count += 1
        days += outcome.days
        switch outcome.ending {
        case .committed: committed += 1
        case .held: held += 1
        case .tripped: tripped += 1
        case .rolledBack(let kind): rolledBack[kind, default: 0] += 1
        }
    }

    mutating func add(_ other: Tally) {
        count += other.count
        committed += other.committed
        held += other.held
        tripped += other.tripped
        days += other.days
        rolledBack.merge(other.rolledBack, uniquingKeysWith: +)
    }

    var gone: Int { rolledBack.values.reduce(0, +) + tripped }
    func share(_ part: Int) -> Double { Double(part) / Double(max(1, count)) }
    var by: String {
        rolledBack.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
            + (tripped > 0 ? ", breaker \(tripped)" : "")
    }
}

/// Many of one kind, on all cores; the same ones in every run.
private func many(_ count: Int, seed: UInt64, _ simulation: Simulation) async -> Tally {
    await withTaskGroup(of: Tally.self) { group in
        let parts = 8
        for part in 0..<parts {
            group.addTask {
                var random = SplitMix64(seed: seed &* 1_000_003 &+ UInt64(part))
                var tally = Tally()
                for _ in 0..<(count / parts) { tally.add(simulation.outcome(&random)) }
                return tally
            }
        }
        return await group.reduce(into: Tally()) { $0.add($1) }
    }
}

private func percent(_ share: Double) -> String { String(format: "%.2f %%", share * 100) }

private func show(_ lines: [String]) {
    guard ProcessInfo.processInfo.environment["TIANKONG_SHOW"] != nil else { return }
    print(lines.joined(separator: "\n"))
}

// MARK: - What must hold

@Suite("a hundred thousand rollouts", .serialized)
struct SimulationTests {
    static let rates = [50.0, 200, 5000]

    @Test("a healthy candidate is rolled back once in a hundred at most, a regression missed once in twenty at most, at 50, 200 and 5 000 questions a day")
    func bounds() async {
        #if DEBUG
        let counts = (healthy: 1_600, failing: 1_600, worse: 400)
        #else
        // A failing one ends early, and costs little.
        let counts = (healthy: 9_600, failing: 12_000, worse: 2_960)
        #endif
        var (lines, all) = (["| candidate | questions a day | rollouts | rolled back | held | committed | by |", "|---|---|---|---|---|---|---|"], 0)
        for candidate in Candidate.allCases {
            for (number, rate) in Self.rates.enumerated() {
                let tally = await many(
                    candidate == .healthy ? counts.healthy : candidate == .failing ? counts.failing : counts.worse, seed: UInt64(number + 10 * candidate.name.utf8.count),
                    Simulation(candidate: candidate, questionsADay: rate))
                all += tally.count
                lines.append(
                    "| \(candidate.name) | \(Int(rate)) | \(tally.count) | \(percent(tally.share(tally.gone))) | \(percent(tally.share(tally.held))) | \(percent(tally.share(tally.committed))) | \(tally.by) |")
                if candidate == .healthy {
                    #expect(tally.share(tally.gone) <= 0.01, "\(candidate.name) at \(rate)")
                } else {
                    #expect(tally.share(tally.committed) <= 0.05, "\(candidate.name) at \(rate)")
                }
            }
        }
        #if !DEBUG
        #expect(all >= 100_000)
        #endif
        show(lines)
    }

    @Test("a healthy candidate is kept on a machine that stalls, and where a thousandth of all answers fails anyway")
    func hardships() async {
        var lines = ["| healthy, and | rollouts | rolled back | held | by |", "|---|---|---|---|---|"]
        for (name, change) in [
            ("one answer in 100 takes ten times as long, of both", { $0.stalls = 0.01 }),
            ("one in 30 does", { $0.stalls = 0.033 }),
            ("one answer in 1 000 fails, of both", { $0.baseline = 0.001 }),
        ] as [(String, (inout Simulation) -> Void)] {
            var simulation = Simulation(candidate: .healthy, questionsADay: 200)
            change(&simulation)
            let tally = await many(few, seed: 5, simulation)
            lines.append("| \(name) | \(tally.count) | \(percent(tally.share(tally.gone))) | \(percent(tally.share(tally.held))) | \(tally.by) |")
            #expect(tally.share(tally.gone) <= 0.01, "\(name)")
        }
        show(lines)
    }

    @Test("the more answers a candidate changes for better and worse alike, the likelier it is rolled back; up to 8 % of them it hardly ever is")
    func changing() async {
        var lines = ["| share of rows that change | rollouts | rolled back | by |", "|---|---|---|---|"]
        var before = 0.0
        for changing in [0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4] {
            let tally = await many(few, seed: 9, Simulation(candidate: .healthy, questionsADay: 200, changing: changing))
            let share = tally.share(tally.gone)
            lines.append("| \(Int((changing * 100).rounded())) % | \(tally.count) | \(percent(share)) | \(tally.by) |")
            if changing <= Simulation.mostChanging { #expect(share <= 0.01, "\(changing)") }
            #expect(share >= before - 0.01, "\(changing)")
            before = share
        }
        show(lines)
    }

    @Test("careful waits for two hundred questions at each stage, however long that takes; looking often does not make it roll back more")
    func careful() async {
        var lines = ["| questions a day | rollouts | rolled back | by | days until the commit |", "|---|---|---|---|---|"]
        for rate in Self.rates {
            let tally = await many(
                few / 2, seed: 3, Simulation(candidate: .healthy, questionsADay: rate, policy: .careful, disapproving: (0.01, 0.01)))
            #expect(tally.share(tally.gone) <= 0.01, "\(rate)")
            // 200 / 5 %, 20 %, 50 %, 100 %: 5 600 questions.
            let days = tally.days / Double(tally.count)
            #expect((0.9...1.5).contains(days * rate / 5600), "\(rate)")
            lines.append("| \(Int(rate)) | \(tally.count) | \(percent(tally.share(tally.gone))) | \(tally.by) | \(String(format: "%.1f", days)) |")
        }
        let called = await many(
            few / 2, seed: 4, Simulation(candidate: .healthy, questionsADay: 200, policy: .careful, disapproving: (0.01, 0.05)))
        #expect(called.share(called.committed) <= 0.05)
        lines.append("called wrong 5 times as often: rolled back \(percent(called.share(called.gone))) (\(called.by))")
        show(lines)
    }

    @Test("the smallest drop that is printed is found in 19 of 20 cases")
    func smallestDrop() {
        var lines = ["| rows | tolerated | nothing else changes | 4 % change anyway | 8 % | 16 % |", "|---|---|---|---|---|---|"]
        var random = SplitMix64(seed: 11)
        for rows in [50, 100, 200, 266, 370, 1200, 1866] {
            var line = "| \(rows) | \(points(PairedCounts.tolerated(rows: rows)))"
            for changing in [0, 0.04, 0.08, 0.16] {
                let drop = PairedCounts.smallestDrop(rows: rows, changing: changing)
                line += " | \(points(drop))"
                let trials = 4000
                let found = (0..<trials).count { _ in
                    var counts = PairedCounts(rows: rows)
                    for _ in 0..<rows {
                        let luck = random.unit()
                        if luck < changing / 2 + drop { counts.lost += 1 } else if luck < changing + drop { counts.gained += 1 }
                    }
                    return counts.isRegression
                }
                // Counts are whole numbers, which shows where rows are few.
                #expect((0.92...(rows < 100 ? 1 : 0.985)).contains(Double(found) / Double(trials)), "\(rows) rows, \(changing), \(drop)")
            }
            lines.append(line + " |")
        }
        show(lines)
    }

    @Test("the breaker, by how much fails and how much is asked: at a failing half it trips within the hour from 5 000 questions a day on, failing always at 200, a healthy version never")
    func breaker() {
        var lines = ["| of all answers fail | questions a day | trips within the hour | minutes, in the middle |", "|---|---|---|---|"]
        var random = SplitMix64(seed: 12)
        for rate in [200.0, 5000, 50_000, 500_000] {
            for failing in [0.0002, 0.001, 0.02, 0.1, 0.5, 1] {
                var minutes: [Int] = []
                let trials = 300
                for _ in 0..<trials {
                    var breaker = Breaker()
                    for slice in 1...720 {
                        let answers = random.poisson(rate / 86_400 * 5)
                        breaker.add(answers: answers, failures: random.binomial(answers, failing), at: .seconds(slice * 5))
                        if breaker.trip(at: .seconds(slice * 5)) != nil {
                            minutes.append(slice / 12)
                            break
                        }
                    }
                }
                let share = Double(minutes.count) / Double(trials)
                if failing <= 0.001 { #expect(share <= 0.01, "\(failing) at \(rate)") }
                if failing == 1, rate == 200 { #expect(share >= 0.95) }
                if failing >= 0.5, rate >= 5000 { #expect(share >= 0.95, "\(failing) at \(rate)") }
                lines.append("| \(percent(failing)) | \(Int(rate)) | \(percent(share)) | \(minutes.isEmpty ? "" : "\(minutes.sorted()[minutes.count / 2])") |")
            }
        }
        show(lines)
    }

    #if DEBUG
    private let few = 400
    #else
    private let few = 1_600
    #endif

    private func points(_ share: Double) -> String { String(format: "%.1f", share * 100) }
}

import Evaluation
import Rollout
import Testing

@Suite("the rollout's machine")
struct RolloutMachineTests {
    private enum Event: CustomStringConvertible {
        case begin
        case reach(RolloutMachine.Phase, ticket: Int)
        case end(ticket: Int)
        case supersede

        static let all: [Event] = [.begin, .supersede]
            + (1...3).flatMap { ticket in
                [.end(ticket: ticket)] + RolloutMachine.Phase.allCases.map { .reach($0, ticket: ticket) }
            }

        var description: String {
            switch self {
            case .begin: "begin"
            case .reach(let phase, let ticket): "reach(\(phase), \(ticket))"
            case .end(let ticket): "end(\(ticket))"
            case .supersede: "supersede"
            }
        }
    }

    /// What was seen so far, told by the events' answers alone.
    private struct Seen {
        var machine = RolloutMachine()
        var running: Int?
        var phase = RolloutMachine.Phase.verifying
        var issued = 0
        /// Tickets that ended or were superseded: deaf for ever.
        var deaf: Set<Int> = []

        /// - Returns: what is wrong, or nil.
        mutating func take(_ event: Event) -> String? {
            switch event {
            case .begin:
                let ticket = machine.begin("subject \(issued + 1)")
                if running != nil { return ticket == nil ? nil : "two trials at a time" }
                guard let ticket, ticket == issued + 1 else { return "a ticket that is not new" }
                (running, phase, issued) = (ticket, .verifying, ticket)
            case .reach(let next, let ticket):
                let before = machine
                let isHeard = machine.reach(next, ticket)
                if deaf.contains(ticket), isHeard { return "a deaf ticket was heard" }
                guard isHeard == (ticket == running && phase <= next) else { return "reach: expected \(!isHeard)" }
                if isHeard { phase = next } else if machine != before { return "unheard, and something changed" }
            case .end(let ticket):
                let before = machine
                machine.end(ticket)
                if ticket == running {
                    deaf.insert(ticket)
                    running = nil
                } else if machine != before { return "the end of another ticket changed something" }
            case .supersede:
                let what = machine.supersede()
                guard what?.ticket == running else { return "superseded another one" }
                if let running { deaf.insert(running) }
                running = nil
            }
            guard machine.trial?.ticket == running else { return "the trial is another one" }
            if let trial = machine.trial, trial.phase != phase || trial.subject != "subject \(trial.ticket)" { return "the trial is not what was begun" }
            for ticket in 1...4 where machine.isCurrent(ticket) != (ticket == running) { return "isCurrent lies about \(ticket)" }
            return nil
        }
    }

    @Test("every sequence of five events: one trial at a time, phases only forward, a superseded ticket deaf for ever")
    func exhaustive() {
        var (count, faults) = (0, [String]())
        func go(_ seen: Seen, _ path: [Event]) {
            guard path.count < 5 else { return }
            for event in Event.all {
                var next = seen
                count += 1
                if let fault = next.take(event) {
                    if faults.count < 10 { faults.append("\(path + [event]): \(fault)") }
                } else { go(next, path + [event]) }
            }
        }
        go(Seen(), [])
        #expect(faults.isEmpty)
        #expect(count > 500_000)
    }

    @Test("one that was superseded cannot come back by a new trial of the same file")
    func sameSubject() {
        var machine = RolloutMachine()
        let first = machine.begin("v2.tkp.zst")
        let superseded = machine.supersede()
        #expect(superseded?.subject == "v2.tkp.zst")
        let second = machine.begin("v2.tkp.zst")
        #expect(first != nil && second != nil && first != second)
        let isHeard = machine.reach(.merging, first ?? 0)
        #expect(!isHeard && !machine.isCurrent(first ?? 0))
        machine.end(first ?? 0)
        #expect(machine.trial?.ticket == second)
    }

    @Test("a phase may be skipped, never taken back")
    func phases() {
        var machine = RolloutMachine()
        let ticket = machine.begin("x") ?? 0
        let heard = [.prewarming, .merging, .verifying, .prewarming].map { machine.reach($0, ticket) }
        #expect(heard == [true, false, false, true])
        #expect(machine.trial?.phase == .prewarming)
    }

    // MARK: - Stages

    private static let findings = [Finding.memory(left: 0)]
    private static let missing = [Finding.fewQuestions(3, wanted: 200)]
    private static let pin = RolloutMachine.Pin(by: "wang", reason: "the fair")

    /// The machine behind a reference: an expectation cannot call what mutates.
    private final class Machine {
        private(set) var value: RolloutMachine

        init(stages: [Int] = [5, 20, 50, 100], dwell: Duration = .seconds(10), pin: RolloutMachine.Pin? = nil) {
            value = RolloutMachine(stages: stages, dwell: dwell, pin: pin)
        }

        var trial: RolloutMachine.Trial? { value.trial }
        var share: Int { value.share }
        var pin: RolloutMachine.Pin? { value.pin }
        func begin(_ subject: String) -> Int? { value.begin(subject) }
        func reach(_ phase: RolloutMachine.Phase, _ ticket: Int) -> Bool { value.reach(phase, ticket) }
        func isCurrent(_ ticket: Int) -> Bool { value.isCurrent(ticket) }
        func advance(_ ticket: Int, _ verdict: Verdict, at now: Duration) -> RolloutMachine.Step { value.advance(ticket, verdict, at: now) }
        func end(_ ticket: Int) { value.end(ticket) }
        func supersede() -> RolloutMachine.Trial? { value.supersede() }
        func promote() -> Bool { value.promote() }
        func hold(_ pin: RolloutMachine.Pin) { value.hold(pin) }
        func resume() -> Bool { value.resume() }
        func watch(_ subject: String, until end: Duration) { value.watch(subject, until: end) }
        func watched(at now: Duration) -> RolloutMachine.Watched? { value.watched(at: now) }
        func endWatch() { value.endWatch() }
    }

    /// A trial whose shadow runs.
    private func inShadow(_ machine: Machine) throws -> Int {
        let ticket = try #require(machine.begin("v2.tkp.zst"))
        for phase in [RolloutMachine.Phase.merging, .prewarming, .shadow] { #expect(machine.reach(phase, ticket)) }
        return ticket
    }

    /// A trial at its first stage, since zero.
    private func inCanary(_ machine: Machine) throws -> Int {
        let ticket = try inShadow(machine)
        #expect(machine.advance(ticket, .promote, at: .zero) == .share(5))
        return ticket
    }

    @Test("a good candidate takes 5, 20, 50 and 100 per cent, each for its time at least, and is committed")
    func climbs() throws {
        let machine = Machine()
        let ticket = try inShadow(machine)
        #expect(machine.share == 0 && machine.trial?.stage == nil)
        var steps: [(Int, RolloutMachine.Step)] = []
        for second in 0...100 {
            let step = machine.advance(ticket, .promote, at: .seconds(second))
            if step != .stay { steps.append((second, step)) }
            if step == .commit { break }
        }
        #expect(steps.map(\.0) == [0, 10, 20, 30, 40])
        #expect(steps.map(\.1) == [.share(5), .share(20), .share(50), .share(100), .commit])
        #expect(machine.share == 100 && machine.trial?.phase == .canary)
        machine.end(ticket)
        #expect(machine.share == 0 && machine.trial == nil)
    }

    @Test("the stages and their time are the settings'", arguments: [[100], [1, 100], [10, 20, 30, 40, 100]])
    func settings(stages: [Int]) throws {
        let machine = Machine(stages: stages, dwell: .seconds(60))
        let ticket = try inShadow(machine)
        for (number, percent) in stages.enumerated() {
            #expect(machine.advance(ticket, .promote, at: .seconds(60 * number)) == .share(percent))
            #expect(machine.advance(ticket, .promote, at: .seconds(60 * number + 59)) == .stay)
        }
        #expect(machine.advance(ticket, .promote, at: .seconds(60 * stages.count)) == .commit)
    }

    @Test("before the shadow no verdict moves anything", arguments: [RolloutMachine.Phase.verifying, .merging, .prewarming])
    func tooEarly(phase: RolloutMachine.Phase) throws {
        let machine = Machine()
        let ticket = try #require(machine.begin("x"))
        #expect(machine.reach(phase, ticket))
        for verdict in [Verdict.promote, .rollBack(Self.findings), .notEnough(Self.missing)] {
            #expect(machine.advance(ticket, verdict, at: .seconds(100)) == .stay)
        }
        #expect(!machine.promote())
        #expect(machine.trial?.phase == phase && machine.share == 0)
    }

    @Test("a verdict against it ends a trial at any time, within a stage's first seconds too")
    func rolledBack() throws {
        let machine = Machine()
        let ticket = try inShadow(machine)
        #expect(machine.advance(ticket, .rollBack(Self.findings), at: .zero) == .rollBack(Self.findings))
        #expect(machine.advance(ticket, .promote, at: .zero) == .share(5))
        #expect(machine.advance(ticket, .rollBack(Self.findings), at: .seconds(1)) == .rollBack(Self.findings))
    }

    @Test("a shadow that is not finished is waited for without a word; what is missing afterwards is said, and what comes then lifts it")
    func missing() throws {
        let machine = Machine()
        let ticket = try inShadow(machine)
        #expect(machine.advance(ticket, .notEnough([.shadowUnfinished, .failuresOpen(answers: 3)]), at: .zero) == .stay)
        #expect(machine.trial?.hold == nil)
        let open = [Finding.failuresOpen(answers: 200)]
        #expect(machine.advance(ticket, .notEnough(open), at: .zero) == .wait(open))
        #expect(machine.trial?.hold == .notEnough(open) && machine.share == 0)
        #expect(machine.advance(ticket, .promote, at: .seconds(1)) == .share(5))
        #expect(machine.trial?.hold == nil)
        // At a stage as well, once its time is over.
        #expect(machine.advance(ticket, .notEnough(Self.missing), at: .seconds(5)) == .stay)
        #expect(machine.advance(ticket, .notEnough(Self.missing), at: .seconds(11)) == .wait(Self.missing))
        #expect(machine.share == 5 && machine.trial?.hold == .notEnough(Self.missing))
        #expect(machine.advance(ticket, .promote, at: .seconds(3000)) == .share(20))
        // The next one has its own time.
        #expect(machine.advance(ticket, .promote, at: .seconds(3009)) == .stay)
    }

    @Test("one that is held for want of evidence still ends by a verdict against it, and by an order")
    func heldEnds() throws {
        let machine = Machine()
        let ticket = try inCanary(machine)
        _ = machine.advance(ticket, .notEnough(Self.missing), at: .seconds(10))
        #expect(machine.advance(ticket, .rollBack(Self.findings), at: .seconds(11)) == .rollBack(Self.findings))
        #expect(machine.promote())
        #expect(machine.trial?.hold == nil)
        #expect(machine.advance(ticket, .notEnough(Self.missing), at: .seconds(12)) == .commit)
    }

    @Test("promoted, a candidate is committed at once, whatever its stage and the time")
    func promoted() throws {
        for stage in 0...4 {
            let machine = Machine()
            let ticket = try inShadow(machine)
            for number in 0..<stage { _ = machine.advance(ticket, .promote, at: .seconds(10 * number)) }
            #expect(machine.promote())
            #expect(machine.advance(ticket, .notEnough([.shadowUnfinished]), at: .seconds(10 * stage - 9)) == .commit)
        }
    }

    @Test("without a candidate there is nothing to promote")
    func nothingToPromote() throws {
        let machine = Machine()
        #expect(!machine.promote())
        let ticket = try inShadow(machine)
        machine.end(ticket)
        #expect(!machine.promote())
    }

    @Test("held, a candidate stays at its stage for as long as it takes; resumed, it goes on where it was")
    func held() throws {
        let machine = Machine()
        let ticket = try inCanary(machine)
        #expect(machine.advance(ticket, .promote, at: .seconds(10)) == .share(20))
        machine.hold(Self.pin)
        #expect(machine.trial?.hold == .ordered(Self.pin) && machine.pin == Self.pin)
        for second in [11, 20, 100_000] {
            #expect(machine.advance(ticket, .promote, at: .seconds(second)) == .stay)
            #expect(machine.advance(ticket, .notEnough(Self.missing), at: .seconds(second)) == .stay)
        }
        #expect(machine.share == 20)
        #expect(machine.resume())
        #expect(machine.pin == nil && machine.trial?.hold == nil)
        #expect(machine.advance(ticket, .promote, at: .seconds(100_001)) == .share(50))
    }

    @Test("an order to hold before the shadow counts when it is over")
    func heldEarly() throws {
        let machine = Machine()
        let ticket = try #require(machine.begin("x"))
        machine.hold(Self.pin)
        #expect(machine.reach(.shadow, ticket))
        #expect(machine.advance(ticket, .promote, at: .zero) == .stay)
        #expect(machine.share == 0)
        _ = machine.resume()
        #expect(machine.advance(ticket, .promote, at: .zero) == .share(5))
    }

    @Test("an order to hold takes the place of a hold for want of evidence, and resume lifts it; resume alone lifts none for want of evidence")
    func twoHolds() throws {
        let machine = Machine()
        let ticket = try inCanary(machine)
        _ = machine.advance(ticket, .notEnough(Self.missing), at: .seconds(10))
        let lifted = machine.resume()
        #expect(!lifted && machine.trial?.hold == .notEnough(Self.missing))
        machine.hold(Self.pin)
        #expect(machine.trial?.hold == .ordered(Self.pin))
        #expect(machine.resume() && machine.trial?.hold == nil)
        #expect(machine.advance(ticket, .notEnough(Self.missing), at: .seconds(12)) == .wait(Self.missing))
    }

    @Test("a pin without a trial keeps the next one from beginning until resume; a second pin takes the first one's place")
    func pinned() throws {
        let machine = Machine()
        machine.hold(Self.pin)
        #expect(machine.begin("x") == nil && machine.trial == nil)
        let other = RolloutMachine.Pin(by: "li", reason: nil)
        machine.hold(other)
        #expect(machine.pin == other)
        #expect(machine.resume())
        #expect(!machine.resume())
        #expect(machine.begin("x") != nil)
    }

    @Test("a watch lasts for its time, until something else is decided")
    func watch() {
        let machine = Machine()
        #expect(machine.watched(at: .zero) == nil)
        machine.watch("v2", until: .seconds(3600))
        #expect(machine.watched(at: .seconds(3599))?.until == .seconds(3600) && machine.watched(at: .seconds(3600)) == nil)
        // The next trial does not end it; the next commit has its own.
        _ = machine.begin("v3")
        #expect(machine.watched(at: .zero)?.subject == "v2")
        machine.watch("v3", until: .seconds(7200))
        #expect(machine.watched(at: .seconds(7199))?.subject == "v3")
        machine.endWatch()
        #expect(machine.watched(at: .zero) == nil)
        machine.watch("v3", until: .seconds(10))
        _ = machine.supersede()
        #expect(machine.watched(at: .zero) == nil)
    }

    // MARK: - Who wins

    @Test("an order to go back beats whatever runs, and nothing it says afterwards is heard", arguments: RolloutMachine.Phase.allCases)
    func orderWins(phase: RolloutMachine.Phase) throws {
        for prepare in [{ _ in }, { $0.hold(Self.pin) }, { _ = $0.promote() }] as [(Machine) -> Void] {
            let machine = Machine()
            let ticket = try #require(machine.begin("v2"))
            #expect(machine.reach(phase, ticket))
            prepare(machine)
            #expect(machine.supersede()?.ticket == ticket)
            let after = machine.value
            #expect(machine.trial == nil && machine.share == 0 && !machine.isCurrent(ticket))
            for verdict in [Verdict.promote, .rollBack(Self.findings), .notEnough(Self.missing)] {
                #expect(machine.advance(ticket, verdict, at: .seconds(1000)) == .stay)
            }
            for phase in RolloutMachine.Phase.allCases { #expect(!machine.reach(phase, ticket)) }
            machine.end(ticket)
            #expect(machine.value == after)
        }
    }

    @Test("promote beats a verdict that is not there yet")
    func promoteWins() throws {
        let machine = Machine()
        let ticket = try inShadow(machine)
        #expect(machine.promote())
        #expect(machine.advance(ticket, .notEnough([.shadowUnfinished]), at: .zero) == .commit)
    }

    @Test("a verdict to roll back that is there beats promote, before the order and with it")
    func verdictWins() throws {
        let machine = Machine()
        let ticket = try inCanary(machine)
        #expect(machine.promote())
        #expect(machine.advance(ticket, .rollBack(Self.findings), at: .zero) == .rollBack(Self.findings))
        machine.end(ticket)
        #expect(!machine.promote())
        #expect(machine.advance(ticket, .promote, at: .seconds(20)) == .stay)
    }

    @Test("hold beats a verdict to promote, and loses against one to roll back")
    func hold() throws {
        let machine = Machine()
        let ticket = try inCanary(machine)
        machine.hold(Self.pin)
        #expect(machine.advance(ticket, .promote, at: .seconds(10)) == .stay)
        #expect(machine.advance(ticket, .rollBack(Self.findings), at: .seconds(10)) == .rollBack(Self.findings))
    }

    @Test("of promote and hold the later one wins; the pin stays for what comes next")
    func later() throws {
        let machine = Machine()
        let ticket = try inCanary(machine)
        #expect(machine.promote())
        machine.hold(Self.pin)
        #expect(machine.advance(ticket, .promote, at: .seconds(10)) == .stay)
        #expect(machine.promote())
        #expect(machine.advance(ticket, .notEnough(Self.missing), at: .seconds(10)) == .commit)
        machine.end(ticket)
        #expect(machine.pin == Self.pin && machine.begin("v3") == nil)
        // Promoted, held, resumed: it climbs as others do, and is not committed behind somebody's back.
        let other = Machine()
        let second = try inCanary(other)
        #expect(other.promote())
        other.hold(Self.pin)
        #expect(other.resume())
        #expect(other.advance(second, .promote, at: .seconds(10)) == .share(20))
    }

    @Test("the breaker beats a trial: what is tried was made from what is left now")
    func breakerWins() throws {
        let machine = Machine()
        machine.watch("v2", until: .seconds(3600))
        let ticket = try inCanary(machine)
        #expect(machine.watched(at: .seconds(5))?.subject == "v2")
        // What going back does.
        #expect(machine.supersede()?.ticket == ticket)
        #expect(machine.watched(at: .seconds(5)) == nil && machine.share == 0)
        #expect(machine.advance(ticket, .promote, at: .seconds(20)) == .stay)
    }

    @Test("a new patch waits for what runs, and for a pin")
    func patchWaits() throws {
        for phase in RolloutMachine.Phase.allCases {
            let machine = Machine()
            let ticket = try #require(machine.begin("v2"))
            #expect(machine.reach(phase, ticket))
            let before = machine.value
            #expect(machine.begin("v3") == nil && machine.value == before)
            machine.hold(Self.pin)
            machine.end(ticket)
            #expect(machine.begin("v3") == nil)
            #expect(machine.resume())
            #expect(machine.begin("v3") != nil)
        }
    }

    @Test("a restart leaves nothing of a trial; a pin stays")
    func restart() throws {
        let machine = Machine()
        _ = try inCanary(machine)
        machine.hold(Self.pin)
        // What a start has is the pin that is on disk.
        let again = Machine(pin: machine.pin)
        #expect(again.trial == nil && again.share == 0 && again.watched(at: .zero) == nil)
        #expect(again.begin("v2.tkp.zst") == nil)
        #expect(again.resume())
        #expect(again.begin("v2.tkp.zst") != nil)
    }

    // MARK: - Every sequence

    private enum Order: String, CaseIterable {
        case begin, shadow, end, supersede, promote, hold, resume, yes, no, more, unfinished, wait
    }

    /// What the machine must be, told by the orders' answers alone.
    private struct Told {
        var machine = RolloutMachine()
        var now = Duration.zero
        var ticket: Int?
        var last = 0
        var isInShadow = false
        /// Of the stages, -1 before them.
        var stage = -1
        var since = Duration.zero
        var isPromoted = false
        var isHeld = false
        var isPinned = false

        mutating func take(_ order: Order) -> String? {
            let shareBefore = machine.share
            switch order {
            case .begin:
                let new = machine.begin("x", at: now)
                guard (new == nil) == (ticket != nil || isPinned) else { return "begin: \(String(describing: new))" }
                if let new { (ticket, last, isInShadow, stage, isPromoted, isHeld) = (new, new, false, -1, false, false) }
            case .shadow:
                let isHeard = machine.reach(.shadow, last, at: now)
                guard isHeard == (ticket != nil && stage < 0) else { return "reach: \(isHeard)" }
                if isHeard { isInShadow = true }
            case .end:
                machine.end(last)
                ticket = nil
            case .supersede:
                guard (machine.supersede() != nil) == (ticket != nil) else { return "supersede" }
                ticket = nil
            case .promote:
                guard machine.promote() == (ticket != nil && isInShadow) else { return "promote" }
                if ticket != nil, isInShadow { (isPromoted, isHeld) = (true, false) }
            case .hold:
                machine.hold(.init(by: "x", reason: nil))
                isPinned = true
                if ticket != nil { (isPromoted, isHeld) = (false, true) }
            case .resume:
                guard machine.resume() == isPinned else { return "resume" }
                (isPinned, isHeld) = (false, false)
            case .wait: now += .seconds(10)
            case .yes, .no, .more, .unfinished:
                let verdict: Verdict =
                    switch order {
                    case .yes: .promote
                    case .no: .rollBack([.memory(left: 0)])
                    case .more: .notEnough([.fewClients(1, wanted: 3)])
                    default: .notEnough([.shadowUnfinished])
                    }
                let step = machine.advance(last, verdict, at: now)
                let expected = expected(order)
                guard step == expected else { return "\(order): expected \(expected), found \(step)" }
                if case .share = step { (stage, since, isHeld) = (stage + 1, now, false) }
            }
            if ticket != nil, machine.share < shareBefore { return "the share fell from \(shareBefore) to \(machine.share)" }
            if machine.share != (ticket != nil && stage >= 0 ? machine.stages[stage] : 0) { return "the share is \(machine.share)" }
            if machine.trial?.ticket != ticket { return "another trial" }
            if (machine.pin != nil) != isPinned { return "another pin" }
            return nil
        }

        private func expected(_ order: Order) -> RolloutMachine.Step {
            guard ticket != nil, isInShadow else { return .stay }
            if order == .no { return .rollBack([.memory(left: 0)]) }
            if isPromoted { return .commit }
            if isHeld || stage >= 0 && now - since < machine.dwell || order == .unfinished { return .stay }
            if order == .more { return .wait([.fewClients(1, wanted: 3)]) }
            return stage + 1 < machine.stages.count ? .share(machine.stages[stage + 1]) : .commit
        }
    }

    @Test("every sequence of six orders and verdicts, from nothing, from the shadow and from each stage: the share only grows, and each has the winner that is written")
    func sequences() throws {
        var (count, faults) = (0, [String]())
        func go(_ told: Told, _ path: [Order], _ left: Int) {
            guard left > 0, faults.count < 10 else { return }
            for order in Order.allCases {
                var next = told
                count += 1
                if let fault = next.take(order) { faults.append("\(path + [order]): \(fault)") } else { go(next, path + [order], left - 1) }
            }
        }
        let up: [Order] = [.begin, .shadow, .yes, .wait, .yes, .wait, .yes, .wait, .yes]
        for (steps, depth) in [(0, 6), (2, 5), (3, 5), (5, 4), (7, 4), (9, 5)] {
            var start = Told()
            for order in up.prefix(steps) { #expect(start.take(order) == nil) }
            go(start, Array(up.prefix(steps)), depth)
        }
        #expect(faults == [])
        #expect(count > 3_000_000)
    }

    @Test("ten thousand long lives: the share only grows within a trial")
    func longLives() {
        var random = SplitMix64(seed: 7)
        var faults: [String] = []
        for life in 0..<10_000 where faults.count < 5 {
            var told = Told()
            var path: [Order] = []
            for _ in 0..<60 {
                // Mostly what brings a trial on.
                let order = random.next() % 3 == 0 ? Order.allCases.randomElement(using: &random)! : [.begin, .shadow, .yes, .wait].randomElement(using: &random)!
                path.append(order)
                if let fault = told.take(order) {
                    faults.append("life \(life), \(path): \(fault)")
                    break
                }
            }
        }
        #expect(faults == [])
    }
}

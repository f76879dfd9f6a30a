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
}

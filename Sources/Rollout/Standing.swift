import Explain
import Synchronization

/// How the rollout stands, for who shows it: read at any time without waiting for the actor.
public struct Standing: Sendable {
    /// Beside the phases of a trial, in the order in which they come.
    public static let phases = ["idle"] + RolloutMachine.Phase.allCases.map(\.rawValue) + ["held"]

    /// One of `phases`; `held` where a trial goes on only when somebody resumes it, or with more evidence.
    public let phase: String
    /// Per cent of the clients that the candidate answers.
    public let share: Int
    /// Who holds the trial, and why: an operator, or a verdict.
    public let hold: RolloutMachine.Pin?
    /// Who wants the live version to stay.
    public let pin: RolloutMachine.Pin?
    /// Who is told what happens, the hooks among them.
    public let listeners: Int
}

extension Rollout {
    nonisolated public var standing: Standing {
        let now = published.withLock { $0 }
        return Standing(
            phase: now.hold == nil ? now.phase?.rawValue ?? "idle" : "held", share: now.share, hold: now.hold?.held, pin: now.pin,
            listeners: events.listeners)
    }
}

extension RolloutMachine.Hold {
    var held: RolloutMachine.Pin {
        switch self {
        case .ordered(let pin): pin
        case .notEnough(let findings): .init(by: "verdict", reason: Verdict.notEnough(findings).message.en)
        }
    }
}

public import ModelFormat
import PatchFormat

/// What the chain rules need to know of a patch whose signature is good.
public struct Claim: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        /// From a base to a target.
        case patch(base: Fingerprint, target: Fingerprint, release: String)
        /// Back to a version.
        case order(to: Fingerprint, reason: String)
    }
    public let kind: Kind
    public let line: Fingerprint
    public let epoch: Int

    public init(kind: Kind, line: Fingerprint, epoch: Int) {
        (self.kind, self.line, self.epoch) = (kind, line, epoch)
    }

    /// The version that it leads to.
    var target: Fingerprint {
        switch kind {
        case .patch(_, let target, _), .order(let target, _): target
        }
    }

    init(_ manifest: PatchManifest) {
        switch manifest {
        case .patch(let plan):
            self.init(
                kind: .patch(base: plan.base, target: plan.target, release: plan.release), line: plan.line, epoch: plan.epoch)
        case .order(let order):
            self.init(kind: .order(to: order.to, reason: order.reason), line: order.line, epoch: order.epoch)
        }
    }
}

/// Whether a patch may be taken in now (formats.md, "Lines, epochs, forks, orders"). Pure.
public struct Admission: Sendable {
    public enum Decision: Sendable, Equatable {
        case admit
        /// The base is not here yet.
        case wait(missing: Fingerprint)
        case refuse(ChainFault)
    }

    /// What answers now.
    public let live: Fingerprint
    /// Every version kept, with its line.
    public let kept: [Fingerprint: Fingerprint]
    /// Of each line that has one; 0 for others.
    public let floors: [Fingerprint: Int]
    /// How far above the floor an epoch may be.
    public let jump: Int

    public init(live: Fingerprint, kept: [Fingerprint: Fingerprint], floors: [Fingerprint: Int], jump: Int) {
        (self.live, self.kept, self.floors, self.jump) = (live, kept, floors, jump)
    }

    /// The epoch comes first: an older patch is a replay whatever else is wrong with it. Its upper limit comes last, for
    /// the patches that a waiting one waits for raise the floor.
    public func decide(_ claim: Claim) -> Decision {
        let floor = floors[claim.line] ?? 0
        guard claim.epoch > floor else { return .refuse(.replay(epoch: claim.epoch, floor: floor)) }
        let start: Fingerprint
        switch claim.kind {
        case .order(let to, _):
            guard kept[to] != nil else { return .refuse(.notKept(to)) }
            start = to
        case .patch(let base, _, _):
            guard kept[base] != nil else { return .wait(missing: base) }
            start = base
        }
        if let line = kept[start], line != claim.line { return .refuse(.foreignLine(expected: line, found: claim.line)) }
        if case .patch(let base, _, _) = claim.kind, base != live { return .refuse(.fork(base: base, live: live)) }
        guard claim.epoch <= floor + jump else {
            return .refuse(.epochJump(epoch: claim.epoch, floor: floor, jump: jump))
        }
        return .admit
    }
}

/// Why the chain rules refuse.
public enum ChainFault: Sendable, Equatable {
    case replay(epoch: Int, floor: Int)
    case fork(base: Fingerprint, live: Fingerprint)
    case foreignLine(expected: Fingerprint, found: Fingerprint)
    case epochJump(epoch: Int, floor: Int, jump: Int)
    case notKept(Fingerprint)
    case tooManyWaiting(limit: Int)

    /// Whether the same manifest can never be right later on.
    var endsIdentity: Bool {
        switch self {
        case .replay, .fork, .foreignLine: true
        case .epochJump, .notKept, .tooManyWaiting: false
        }
    }
}

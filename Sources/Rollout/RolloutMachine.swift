/// What happens to versions, one at a time. Pure: states and events; the actor carries out what follows.
///
///     idle ─begin─▶ verifying ─▶ merging ─▶ prewarming ─▶ shadow ─▶ canary 5 ─▶ 20 ─▶ 50 ─▶ 100 ─▶ committed = idle, watched
///      ▲                │           │            │           │         └─────────┴─────┴─────┘
///      └── end ─────────┴───────────┴────────────┴───────────┴── rollBack ───────┘
///                                                  at any of them: supersede ──▶ idle
///
/// Phases and stages only go forward. Who wins where two collide:
///
/// | one | other | wins |
/// |---|---|---|
/// | an order to go back, the operator's or a signed one | anything | the order: what runs is superseded, and whatever it says afterwards falls on deaf ears, for its ticket is not the current one any more |
/// | the operator's promote | a verdict that is not there yet | promote |
/// | the operator's promote | a verdict to roll back that is | the verdict: what speaks against it is not missing |
/// | the operator's hold | a verdict to promote | hold |
/// | the operator's hold | a verdict to roll back | the verdict: holding still is no reason to go on failing |
/// | promote | hold | the later one |
/// | the breaker | a trial | the breaker: what is tried was made from what is left now |
/// | a new patch | a trial, or a pin | what runs: the patch waits |
/// | a restart | a trial | the restart: nothing of a trial but its count of attempts is on disk. A pin is, and stays |
public struct RolloutMachine: Sendable, Equatable {
    /// Raw values are a receipt's.
    public enum Phase: String, Sendable, CaseIterable, Comparable {
        case verifying, merging, prewarming, shadow, canary

        private var place: Int { Self.allCases.firstIndex(of: self)! }
        public static func < (one: Phase, other: Phase) -> Bool { one.place < other.place }
    }

    public enum Hold: Sendable, Equatable {
        /// By an operator.
        case ordered(Pin)
        case notEnough([Finding])
    }

    /// Somebody wants things to stay as they are.
    public struct Pin: Sendable, Equatable {
        public let by: String
        public let reason: String?

        public init(by: String, reason: String?) { (self.by, self.reason) = (by, reason) }
    }

    public struct Trial: Sendable, Equatable {
        public let ticket: Int
        /// The dropped file's name, or the imported folder's.
        public let subject: String
        public fileprivate(set) var phase: Phase
        /// Of `stages`; nil before the candidate takes traffic.
        public fileprivate(set) var stage: Int?
        /// When the phase or stage began.
        public fileprivate(set) var since: Duration
        public fileprivate(set) var hold: Hold?
        fileprivate(set) var isPromoted = false
    }

    /// What is to be done after a verdict.
    public enum Step: Sendable, Equatable {
        case stay
        /// Nothing changes until there is more evidence, and that is to be said.
        case wait([Finding])
        /// The candidate takes this many per cent of the clients.
        case share(Int)
        case commit
        case rollBack([Finding])
    }

    /// A committed version that is watched against its snapshot.
    public struct Watched: Sendable, Equatable {
        public let subject: String
        public let until: Duration
    }

    /// Per cent, rising.
    public let stages: [Int]
    /// How long a stage lasts at least.
    public let dwell: Duration
    public private(set) var trial: Trial?
    public private(set) var pin: Pin?
    private var watch: Watched?
    private var tickets = 0

    public init(stages: [Int] = [5, 20, 50, 100], dwell: Duration = .seconds(10), pin: Pin? = nil) {
        (self.stages, self.dwell, self.pin) = (stages, dwell, pin)
    }

    // MARK: - A trial

    /// - Returns: the trial's ticket; nil while another one runs, and while versions are pinned.
    public mutating func begin(_ subject: String, at now: Duration = .zero) -> Int? {
        guard trial == nil, pin == nil else { return nil }
        tickets += 1
        trial = Trial(ticket: tickets, subject: subject, phase: .verifying, since: now)
        return tickets
    }

    /// - Returns: whether the trial still counts; phases only go forward.
    public mutating func reach(_ phase: Phase, _ ticket: Int, at now: Duration = .zero) -> Bool {
        guard isCurrent(ticket), let before = trial?.phase, before <= phase else { return false }
        if before != phase { trial?.since = now }
        trial?.phase = phase
        return true
    }

    public func isCurrent(_ ticket: Int) -> Bool { trial?.ticket == ticket }

    /// What follows from the verdict of now.
    public mutating func advance(_ ticket: Int, _ verdict: Verdict, at now: Duration) -> Step {
        guard isCurrent(ticket), let trial, trial.phase >= .shadow else { return .stay }
        if case .rollBack(let findings) = verdict { return .rollBack(findings) }
        if trial.isPromoted { return .commit }
        if case .ordered = trial.hold { return .stay }
        if trial.phase == .canary, now - trial.since < dwell { return .stay }
        switch verdict {
        case .notEnough(let findings) where findings.contains(.shadowUnfinished): return .stay
        case .notEnough(let findings):
            self.trial?.hold = .notEnough(findings)
            return .wait(findings)
        case .promote: return next(after: trial, at: now)
        case .rollBack: return .stay
        }
    }

    private mutating func next(after before: Trial, at now: Duration) -> Step {
        let stage = before.stage.map { $0 + 1 } ?? 0
        guard stage < stages.count else { return .commit }
        var trial = before
        (trial.phase, trial.stage, trial.since, trial.hold) = (.canary, stage, now, nil)
        self.trial = trial
        return .share(stages[stage])
    }

    /// Per cent of the clients that the candidate answers.
    public var share: Int { trial?.stage.map { stages[$0] } ?? 0 }

    /// Committed or failed; nothing where it was superseded.
    public mutating func end(_ ticket: Int) {
        if isCurrent(ticket) { trial = nil }
    }

    /// - Returns: what was superseded.
    public mutating func supersede() -> Trial? {
        defer { (trial, watch) = (nil, nil) }
        return trial
    }

    // MARK: - The operator

    /// - Returns: false where there is no candidate yet to promote.
    public mutating func promote() -> Bool {
        guard let phase = trial?.phase, phase >= .shadow else { return false }
        trial?.isPromoted = true
        trial?.hold = nil
        return true
    }

    /// A candidate stays at its stage; without a trial nothing new begins. Until `resume`.
    public mutating func hold(_ pin: Pin) {
        self.pin = pin
        trial?.hold = .ordered(pin)
        trial?.isPromoted = false
    }

    /// - Returns: whether anything was held.
    public mutating func resume() -> Bool {
        let wasPinned = pin != nil
        pin = nil
        if case .ordered = trial?.hold { trial?.hold = nil }
        return wasPinned
    }

    // MARK: - After a commit

    public mutating func watch(_ subject: String, until end: Duration) { watch = Watched(subject: subject, until: end) }

    public func watched(at now: Duration) -> Watched? { watch.flatMap { now < $0.until ? $0 : nil } }

    public mutating func endWatch() { watch = nil }
}

/// What happens to versions, one at a time. Pure: states and events; the actor carries out what follows.
///
///     idle ──begin──▶ verifying ──▶ merging ──▶ prewarming ──▶ (shadow, stages) ──▶ committed = idle
///       ▲                 │            │             │
///       └──────end────────┴────────────┴─────────────┘      at any of them: supersede ──▶ idle
///
/// An operator's order and a signed one win over whatever runs: it is superseded, and everything it says afterwards
/// falls on deaf ears, for its ticket is not the current one any more. A restart ends as idle: nothing of a trial but
/// its count of attempts is on disk.
public struct RolloutMachine: Sendable, Equatable {
    /// Raw values are a receipt's.
    public enum Phase: String, Sendable, CaseIterable, Comparable {
        case verifying, merging, prewarming

        private var place: Int { Self.allCases.firstIndex(of: self)! }
        public static func < (one: Phase, other: Phase) -> Bool { one.place < other.place }
    }

    public struct Trial: Sendable, Equatable {
        public let ticket: Int
        /// The dropped file's name, or the imported folder's.
        public let subject: String
        public fileprivate(set) var phase: Phase
    }

    public private(set) var trial: Trial?
    private var tickets = 0

    public init() {}

    /// - Returns: the trial's ticket; nil while another one runs.
    public mutating func begin(_ subject: String) -> Int? {
        guard trial == nil else { return nil }
        tickets += 1
        trial = Trial(ticket: tickets, subject: subject, phase: .verifying)
        return tickets
    }

    /// - Returns: whether the trial still counts; phases only go forward.
    public mutating func reach(_ phase: Phase, _ ticket: Int) -> Bool {
        guard isCurrent(ticket), let before = trial?.phase, before <= phase else { return false }
        trial?.phase = phase
        return true
    }

    public func isCurrent(_ ticket: Int) -> Bool { trial?.ticket == ticket }

    /// Committed or failed; nothing where it was superseded.
    public mutating func end(_ ticket: Int) {
        if isCurrent(ticket) { trial = nil }
    }

    /// - Returns: what was superseded.
    public mutating func supersede() -> Trial? {
        defer { trial = nil }
        return trial
    }
}

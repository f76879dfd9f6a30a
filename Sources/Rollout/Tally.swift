import Synchronization

/// What a version did for clients since it was made ready. Counted on the way of each answer, so it has to cost next to
/// nothing.
public final class Tally: Sendable {
    /// A version's own fault; what a client did wrong is none.
    public enum Failure: String, Sendable, CaseIterable {
        /// It took too long.
        case deadline
        /// Scores that are no numbers, above all.
        case `internal`
    }

    public struct Snapshot: Sendable {
        public var answers = 0
        public var failures: [Failure: Int] = [:]
        public var disapproved = 0
        public var seconds = Histogram(bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5])
        /// Of first candidates.
        public var confidence = Histogram(bounds: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
        fileprivate var clients: Set<ClientKey> = []

        /// Answers and failures: every question it was asked.
        public var asked: Int { answers + failed }
        public var failed: Int { failures.values.reduce(0, +) }
        public var traffic: Evidence.Traffic {
            .init(answers: asked, failures: failed, clients: clients.count, disapproved: disapproved)
        }
    }

    private let state = Mutex(Snapshot())

    public init() {}

    public var snapshot: Snapshot { state.withLock { $0 } }

    public func answered(_ client: ClientKey, took: Duration, confidence: Double?) {
        state.withLock { state in
            state.answers += 1
            state.seconds.record(took / .seconds(1))
            if let confidence { state.confidence.record(confidence) }
            state.count(client)
        }
    }

    public func failed(_ client: ClientKey, _ failure: Failure) {
        state.withLock { state in
            state.failures[failure, default: 0] += 1
            state.count(client)
        }
    }

    /// Somebody called an answer of this version wrong.
    public func disapproved() { state.withLock { $0.disapproved += 1 } }

    /// From now on other clients are counted; a stage has its own.
    func forgetClients() { state.withLock { $0.clients.removeAll(keepingCapacity: true) } }
}

extension Tally.Snapshot {
    fileprivate mutating func count(_ client: ClientKey) {
        // More than anybody waits for need not be told apart.
        if clients.count < 64 { clients.insert(client) }
    }
}

extension Evidence.Traffic {
    static func - (one: Self, other: Self) -> Self {
        .init(
            answers: one.answers - other.answers, failures: one.failures - other.failures, clients: one.clients,
            disapproved: one.disapproved - other.disapproved)
    }
}

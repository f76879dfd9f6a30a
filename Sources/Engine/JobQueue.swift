import Synchronization

/// Bounded, fair between clients, first in, first out for each; closed once and for all. Jobs in the background have a line
/// of their own.
///
/// A client's next question belongs to the turn after its last one, and turns are served in their order: who has a
/// hundred waiting is one of those who have one (start-time fair queueing, Goyal et al. 1996, all questions alike).
final class JobQueue: Sendable {
    enum Next {
        case live(Job)
        case background(Job)
        case nothing
        case closed
    }

    private struct Entry {
        let job: Job
        let turn: Int
    }

    private struct State {
        /// By turn, then in the order they came.
        var entries: [Entry] = []
        /// The turn that is served.
        var turn = 0
        var background: [Job] = []
        var isClosed = false

        mutating func insert(_ job: Job) {
            let last = entries.last { $0.job.client == job.client }?.turn
            let entry = Entry(job: job, turn: max(turn, last.map { $0 + 1 } ?? turn))
            entries.insert(entry, at: entries.firstIndex { $0.turn > entry.turn } ?? entries.endIndex)
        }

        mutating func remove(at index: Int) -> Job {
            let entry = entries.remove(at: index)
            turn = max(turn, entry.turn)
            return entry.job
        }
    }
    private let state: Mutex<State>
    private let limit: Int
    /// Rung once a job; a ring may find nothing, for its job may have been taken by another one's.
    private let bell = Semaphore()

    /// About 60 µs, in which whoever asks question after question is back.
    static let spins = 5_000
    private let spins: Int

    /// - Parameter spins: looks before a thread that waits parks.
    init(limit: Int, spins: Int = 0) {
        self.limit = limit
        self.spins = spins
        state = Mutex(State())
        state.withLock { $0.entries.reserveCapacity(limit) }
    }

    var count: Int { state.withLock { $0.entries.count } }
    var hasLive: Bool { count > 0 }

    /// - Returns: why it was not taken, or nil.
    func push(_ job: Job, inBackground: Bool) -> EngineError? {
        let refusal: EngineError? = state.withLock { state in
            if state.isClosed { return .stopped }
            if inBackground {
                state.background.append(job)
                return nil
            }
            guard state.entries.count < limit else { return .overloaded(limit: limit) }
            state.insert(job)
            return nil
        }
        if refusal == nil { bell.post() }
        return refusal
    }

    /// The next job: a live one before one in the background.
    ///
    /// - Parameters:
    ///   - waiting: until there is one.
    ///   - orBackground: whether one in the background will do.
    func pop(waiting: Bool, orBackground: Bool) -> Next {
        while true {
            let next = state.withLock { state -> Next in
                if state.isClosed { return .closed }
                if !state.entries.isEmpty { return .live(state.remove(at: 0)) }
                if orBackground, !state.background.isEmpty { return .background(state.background.removeFirst()) }
                return .nothing
            }
            guard case .nothing = next, waiting else { return next }
            bell.wait(spinning: spins)
        }
    }

    /// The first live job that fits, or nil at once.
    func popLive(where fits: (Job) -> Bool) -> Job? {
        state.withLock { state in
            guard !state.isClosed, let index = state.entries.firstIndex(where: { fits($0.job) }) else { return nil }
            return state.remove(at: index)
        }
    }

    /// The next in the background, whatever waits besides.
    func takeBackground() -> Job? {
        state.withLock { $0.background.isEmpty ? nil : $0.background.removeFirst() }
    }

    func close() {
        let left = state.withLock { state -> [Job] in
            let left = state.entries.map(\.job) + state.background
            state = State(isClosed: true)
            return left
        }
        for job in left { job.finish(.failure(.stopped), onlyWaiting: true) }
        bell.post()
    }
}

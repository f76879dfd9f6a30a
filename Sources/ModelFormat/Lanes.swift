import CSyscalls
import Glibc
import Synchronization

/// Work on several items at once, each taken by whichever lane is free, in the order given: the largest first lets all
/// lanes end at about the same time.
public enum Lanes {
    private final class Queue: Sendable {
        private let next = Atomic(0)

        func take() -> Int { next.add(1, ordering: .relaxed).oldValue }
    }

    /// Where the lanes run.
    public enum Place: Sendable {
        /// Swift's pool, at the priority of who asks.
        case pool
        /// Threads of their own that give way to everything else, but not for ever (`BackgroundThread`).
        case background
    }

    /// - Returns: a value for each item, in their order.
    /// - Throws: the first failure in that order; each lane ends at its first one.
    public static func map<Item: Sendable, Value: Sendable, Failure: Error>(
        _ items: [Item], lanes: Int = 2, on place: Place = .pool,
        _ body: @escaping @Sendable (Item) throws(Failure) -> Value
    ) async throws(Failure) -> [Value] {
        let queue = Queue()
        let start = ContinuousClock.now
        let lane = { @Sendable () -> [(Int, Result<Value, Failure>)] in
            var hasPatience = place == .background
            var outcomes: [(Int, Result<Value, Failure>)] = []
            while case let index = queue.take(), index < items.count {
                if hasPatience, ContinuousClock.now - start > BackgroundThread.patience {
                    BackgroundThread.insist()
                    hasPatience = false
                }
                let outcome = Result { () throws(Failure) in try body(items[index]) }
                outcomes.append((index, outcome))
                if case .failure = outcome { break }
            }
            return outcomes
        }
        let done = await withTaskGroup(of: [(Int, Result<Value, Failure>)].self) { group in
            for _ in 0..<max(1, min(lanes, items.count)) {
                group.addTask { place == .pool ? lane() : await BackgroundThread.run(lane) }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        var values: [Value] = []
        for (_, outcome) in done.sorted(by: { $0.0 < $1.0 }) { values.append(try outcome.get()) }
        return values
    }
}

/// A thread that runs where nobody else wants to (SCHED_IDLE): a question that comes takes its core at once, which a nice
/// thread would keep for the rest of its slice of 4 ms and more. On a machine that is never idle it would wait for
/// ever, so work of several parts insists after a while.
public enum BackgroundThread {
    static let patience: Duration = .seconds(5)

    static func insist() { tk_insist() }

    /// This process is all background: what it does now and all that it starts later.
    public static func giveWayWhole() { tk_give_way_whole() }
    /// It waited long enough: nice 10 from here on.
    public static func insistWhole() { tk_insist_whole() }

    /// After work that needed much memory for a moment.
    public static func giveMemoryBack() { tk_trim() }

    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    public static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        let once = Once(body)
        return await withCheckedContinuation { continuation in
            start { continuation.resume(returning: once.run()) }
        }
    }

    /// Lets go of what the work holds (a store and its lock) before anybody is told that it is done.
    private final class Once<Value>: Sendable {
        private let body: Mutex<(@Sendable () -> Value)?>

        init(_ body: @escaping @Sendable () -> Value) { self.body = Mutex(body) }

        func run() -> Value {
            guard let body = body.withLock({ $0.take() }) else { preconditionFailure("run twice") }
            return body()
        }
    }

    private static func start(_ body: @escaping @Sendable () -> Void) {
        let work = Unmanaged.passRetained(Work(body)).toOpaque()
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { work in
            tk_give_way()
            Unmanaged<Work>.fromOpaque(work!).takeRetainedValue().body()
            return nil
        }, work)
        if code == 0 {
            pthread_detach(thread)
        } else {
            // No thread to be had: late is better than never.
            Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body()
        }
    }
}

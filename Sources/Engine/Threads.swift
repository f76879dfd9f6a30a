import Glibc
import Synchronization

/// What a new thread is handed.
private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// A thread of our own, named `tiankong-math`: all signals blocked (they belong to the main thread), 1 MiB of stack.
func spawn(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    var every = sigset_t()
    var before = sigset_t()
    sigfillset(&every)
    pthread_sigmask(SIG_BLOCK, &every, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 1 << 20)
    defer { pthread_attr_destroy(&attributes) }

    var thread = pthread_t()
    let start = Unmanaged.passRetained(Start(body)).toOpaque()
    let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { start in
        nameThread("tiankong-math")
        if let start { Unmanaged<Start>.fromOpaque(start).takeRetainedValue().body() }
        return nil
    }
    let code = pthread_create(&thread, &attributes, entry, start)
    precondition(code == 0, "pthread_create: errno \(code)")
    return thread
}

/// For those who look with top, gdb or a profiler (proc_pid_comm(5); at most 15 bytes).
private func nameThread(_ name: StaticString) {
    let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, name.utf8Start, name.utf8CodeUnitCount)
    close(file)
}

/// A counting semaphore (sem_overview(7)): posting never blocks and allocates nothing.
///
/// `@unchecked Sendable`: `sem_t` is made to be used by several threads; its address does not change.
final class Semaphore: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func post() { sem_post(semaphore) }

    func wait() {
        while sem_wait(semaphore) != 0 {}
    }
}

/// Where one helper thread waits for its next job: first spinning, then parked.
final class Helper: Sendable {
    private let calls = Atomic<Int>(0)
    private let seen = Atomic<Int>(0)
    private let parked = Atomic<Bool>(false)
    private let bell = Semaphore()

    /// About 20 µs: questions of a busy minute follow each other more closely than a wake-up takes.
    private static let spins = 2_000

    func wake() {
        calls.add(1, ordering: .sequentiallyConsistent)
        if parked.exchange(false, ordering: .sequentiallyConsistent) { bell.post() }
    }

    /// Returns after the next `wake` that was not yet slept for; everything written before it is seen.
    func sleep() {
        let next = seen.add(1, ordering: .relaxed).newValue
        for _ in 0..<Self.spins {
            if calls.load(ordering: .acquiring) >= next { return }
            Kernels.pause()
        }
        parked.store(true, ordering: .sequentiallyConsistent)
        if calls.load(ordering: .sequentiallyConsistent) >= next {
            // Woken meanwhile: either the bell has not been rung and need not be, or it was and is answered now.
            if parked.exchange(false, ordering: .sequentiallyConsistent) { return }
        }
        bell.wait()
    }
}

/// First in, first out, bounded; closed once and for all. Jobs in the background have a line of their own.
final class JobQueue: Sendable {
    enum Next {
        case live(Job)
        case background(Job)
        case nothing
        case closed
    }

    private struct State {
        var jobs: [Job?]
        var first = 0
        var count = 0
        var background: [Job] = []
        var isClosed = false
    }
    private let state: Mutex<State>
    private let limit: Int
    /// Rung once a job; a ring may find nothing, for a background job may have been taken by another one's.
    private let bell = Semaphore()

    init(limit: Int) {
        self.limit = limit
        state = Mutex(State(jobs: Array(repeating: nil, count: limit)))
    }

    var count: Int { state.withLock { $0.count } }
    var hasLive: Bool { count > 0 }

    /// - Returns: why it was not taken, or nil.
    func push(_ job: Job, inBackground: Bool) -> EngineError? {
        let refusal: EngineError? = state.withLock { state in
            if state.isClosed { return .stopped }
            if inBackground {
                state.background.append(job)
                return nil
            }
            guard state.count < limit else { return .overloaded(limit: limit) }
            state.jobs[(state.first + state.count) % limit] = job
            state.count += 1
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
                if state.count > 0 {
                    defer {
                        state.first = (state.first + 1) % limit
                        state.count -= 1
                    }
                    if let job = state.jobs[state.first].take() { return .live(job) }
                }
                if orBackground, !state.background.isEmpty { return .background(state.background.removeFirst()) }
                return .nothing
            }
            guard case .nothing = next, waiting else { return next }
            bell.wait()
        }
    }

    /// The next in the background, whatever waits besides.
    func takeBackground() -> Job? {
        state.withLock { $0.background.isEmpty ? nil : $0.background.removeFirst() }
    }

    func close() {
        let left = state.withLock { state -> [Job] in
            let left = state.jobs.compactMap { $0 } + state.background
            state = State(jobs: Array(repeating: nil, count: limit), isClosed: true)
            return left
        }
        for job in left { job.finish(.failure(.stopped), onlyWaiting: true) }
        bell.post()
    }
}

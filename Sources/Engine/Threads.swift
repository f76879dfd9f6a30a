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

    func wait(spinning spins: Int = 0) {
        for _ in 0..<spins {
            if sem_trywait(semaphore) == 0 { return }
            Kernels.pause()
        }
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

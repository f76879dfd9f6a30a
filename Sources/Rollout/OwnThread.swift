import Glibc
import Synchronization

/// One thread for an actor that waits for disks: what blocks here blocks nobody who answers questions. It ends with its
/// owner.
final class OwnThread: SerialExecutor {
    private let queue = WorkQueue()

    init() {
        var every = sigset_t()
        var before = sigset_t()
        sigfillset(&every)
        pthread_sigmask(SIG_BLOCK, &every, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { queue in
            Unmanaged<WorkQueue>.fromOpaque(queue!).takeRetainedValue().work()
            return nil
        }, Unmanaged.passRetained(queue).toOpaque())
        precondition(code == 0, "pthread_create: errno \(code)")
        pthread_detach(thread)
    }

    deinit { queue.close() }

    func enqueue(_ job: consuming ExecutorJob) { queue.add(UnownedJob(job), asUnownedSerialExecutor()) }
}

/// What the thread has to do.
///
/// `@unchecked Sendable`: the mutex and the condition are made to be used by several threads and never move; `jobs` and
/// `isClosed` are touched only with the mutex held.
private final class WorkQueue: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let bell = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [(UnownedJob, UnownedSerialExecutor)] = []
    private var isClosed = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(bell, nil)
    }

    deinit {
        pthread_cond_destroy(bell)
        pthread_mutex_destroy(mutex)
        bell.deallocate()
        mutex.deallocate()
    }

    func add(_ job: UnownedJob, _ executor: UnownedSerialExecutor) {
        pthread_mutex_lock(mutex)
        jobs.append((job, executor))
        pthread_cond_signal(bell)
        pthread_mutex_unlock(mutex)
    }

    func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        pthread_cond_signal(bell)
        pthread_mutex_unlock(mutex)
    }

    func work() {
        while true {
            pthread_mutex_lock(mutex)
            while jobs.isEmpty && !isClosed { pthread_cond_wait(bell, mutex) }
            let next = jobs
            jobs = []
            pthread_mutex_unlock(mutex)
            if next.isEmpty { return }
            for (job, executor) in next { job.runSynchronously(on: executor) }
        }
    }
}

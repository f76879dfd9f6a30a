import Glibc
import Synchronization

/// One thread for an actor that waits for disks: what blocks here blocks nobody who answers questions.
///
/// `@unchecked Sendable`: the mutex and the condition are made to be used by several threads and never move; `jobs` is
/// touched only with the mutex held.
final class OwnThread: SerialExecutor, @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let bell = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [UnownedJob] = []

    /// It lives as long as the process, as its actor does.
    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(bell, nil)
        var every = sigset_t()
        var before = sigset_t()
        sigfillset(&every)
        pthread_sigmask(SIG_BLOCK, &every, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let this = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(&thread, nil, { this in
            Unmanaged<OwnThread>.fromOpaque(this!).takeUnretainedValue().run()
        }, this)
        precondition(code == 0, "pthread_create: errno \(code)")
        pthread_detach(thread)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        pthread_mutex_lock(mutex)
        jobs.append(job)
        pthread_cond_signal(bell)
        pthread_mutex_unlock(mutex)
    }

    private func run() -> Never {
        while true {
            pthread_mutex_lock(mutex)
            while jobs.isEmpty { pthread_cond_wait(bell, mutex) }
            let next = jobs
            jobs = []
            pthread_mutex_unlock(mutex)
            for job in next { job.runSynchronously(on: asUnownedSerialExecutor()) }
        }
    }
}

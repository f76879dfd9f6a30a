import NIOCore

/// Runs a connection's tasks on its event loop. A request is a fraction of a millisecond of work between waiting for the
/// client and waiting for the compute threads; on Swift's pool each of the two would wake one thread more, which is a fifth
/// of what the socket adds to a question (Benchmarks/query.py).
///
/// What blocks for long does not belong here: rollouts have a thread of their own, computing has the crew's.
final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

import Glibc
import Synchronization

/// Fixed threads that compute, apart from the threads that serve: one job at a time, all threads on it, the others in
/// a bounded queue.
///
/// Thread 0 leads: it takes the next job, makes room, wakes the others, and tells the asker. A helper that finds no
/// work spins for some microseconds and then parks.
public final class WorkerPool: Sendable {
    public let threads: Int
    public let isa: ISA
    let kernels: Kernels

    /// The most threads a pool may have; beyond, waiting for each other costs more than computing.
    public static let mostThreads = 64

    private let crew: Crew
    private let handles: Mutex<[pthread_t]>

    /// - Parameters:
    ///   - threads: how many compute; nil: one a core, at most 8.
    ///   - queue: how many jobs may wait.
    public init(threads: Int? = nil, queue: Int = 256, isa: ISA = .best) throws(EngineError) {
        let count = threads ?? min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
        guard (1...Self.mostThreads).contains(count) else { throw .threads(count, limit: Self.mostThreads) }
        self.threads = count
        self.isa = isa
        kernels = try Kernels(isa)
        let crew = Crew(threads: count, queue: JobQueue(limit: queue), kernels: kernels)
        self.crew = crew
        handles = Mutex((0..<count).map { rank in spawn { crew.live(rank: rank) } })
    }

    deinit { stop() }

    /// Jobs that wait are told `.stopped`; the one that runs ends as it would. Returns when all threads have ended.
    public func stop() {
        crew.queue.close()
        let ending = handles.withLock { handles in
            defer { handles = [] }
            return handles
        }
        for handle in ending { pthread_join(handle, nil) }
    }

    /// How many jobs wait.
    public var waiting: Int { crew.queue.count }

    func run(_ job: Job) async throws(EngineError) {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                job.waits(with: continuation)
                if let refusal = crew.queue.push(job) { job.finish(.failure(refusal), onlyWaiting: true) }
            }
        } onCancel: {
            job.cancel()
        }
        try outcome.get()
        guard job.isFinite else { throw .notFinite }
    }
}

/// What the threads share.
///
/// `@unchecked Sendable`: `job` and `scratch` are written by thread 0 alone while the helpers wait in `Helper.sleep`
/// (the last thing each did was to pass the final barrier), and read by them after `Helper.wake`, which orders the two.
private final class Crew: @unchecked Sendable {
    let queue: JobQueue
    private let threads: Int
    private let kernels: Kernels
    private let barrier: Barrier
    private let helpers: [Helper]
    private let stop = StopFlag()
    private var scratch: Scratch
    private var job: Job?

    init(threads: Int, queue: JobQueue, kernels: Kernels) {
        self.threads = threads
        self.queue = queue
        self.kernels = kernels
        barrier = Barrier(members: threads)
        helpers = (1..<max(threads, 1)).map { _ in Helper() }
        scratch = Scratch(threads: threads)
    }

    deinit { scratch.release() }

    func live(rank: Int) {
        if rank == 0 { lead() } else { help(rank) }
    }

    private func lead() {
        while let next = queue.pop() {
            guard next.begin() else { continue }
            scratch.reserve(next.batch, next.model.shape)
            stop.lower()
            job = next
            for helper in helpers { helper.wake() }
            let completed = compute(rank: 0)
            // Helpers may still be on their way to sleep, but none touches the job after the last barrier.
            job = nil
            next.finish(completed ? .success(()) : .failure(.cancelled))
        }
        job = nil
        for helper in helpers { helper.wake() }
    }

    private func help(_ rank: Int) {
        while true {
            helpers[rank - 1].sleep()
            guard job != nil else { return }
            _ = compute(rank: rank)
        }
    }

    private func compute(rank: Int) -> Bool {
        guard let job else { return false }
        let pass = ForwardPass(
            job: job, kernels: kernels, scratch: scratch, crew: barrier, rank: rank, threads: threads)
        let completed = pass.run(stop: stop)
        barrier.wait()
        return completed
    }
}

/// Raised by thread 0 before a barrier, read by all after it.
final class StopFlag: Sendable {
    private let raised = Atomic<Bool>(false)
    var isRaised: Bool { raised.load(ordering: .relaxed) }
    func raise() { raised.store(true, ordering: .relaxed) }
    func lower() { raised.store(false, ordering: .relaxed) }
}

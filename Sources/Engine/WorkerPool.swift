import Glibc
import ModelFormat
import Synchronization

/// Fixed threads that compute, apart from the threads that serve: one pass at a time, all threads on it, what comes
/// meanwhile in a bounded queue. Questions that wait together are computed together, as far as they are short: nobody
/// waits for company, and a lone question is a pass of its own.
///
/// Thread 0 leads: it takes the next job, makes room, wakes the others, and tells the asker. A helper that finds no
/// work spins for some microseconds and then parks.
///
/// A job in the background (a version's first questions) gives way between two layers: while questions wait, each of
/// them is answered before it gets its next few layers, and those are all that a question can be kept waiting for.
public final class WorkerPool: Sendable {
    public let threads: Int
    public let isa: ISA
    let kernels: Kernels

    /// Tokens of several questions in one pass: the arithmetic is at its best from about 64 on, and a question that comes
    /// next waits for the pass.
    static let tokensTogether = 128

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
        let crew = Crew(threads: count, queue: JobQueue(limit: queue, spins: sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? JobQueue.spins : 0), kernels: kernels)
        self.crew = crew
        handles = Mutex((0..<count).map { rank in spawn { crew.work(rank: rank) } })
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

    /// While there is work in the background that needs the cores (a merge), the pool leaves them alone for a moment after
    /// each question: what is a few milliseconds to a question is all the time in the world to a thread that otherwise
    /// gets none.
    ///
    /// - Returns: what ends it, by word or with its last holder.
    public func courtesy() -> Courtesy { Courtesy(crew.courtesies) }

    /// How many jobs wait.
    public var waiting: Int { crew.queue.count }

    func run(_ job: Job, inBackground: Bool = false) async throws(EngineError) {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                job.waits(with: continuation)
                if let refusal = crew.queue.push(job, inBackground: inBackground) { job.finish(.failure(refusal), onlyWaiting: true) }
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
/// `@unchecked Sendable`: `current` and the scratches are written by thread 0 alone while the helpers wait in
/// `Helper.sleep` (the last thing each did was to pass the final barrier), and read by them after `Helper.wake`, which
/// orders the two.
private final class Crew: @unchecked Sendable {
    /// A pass and where in it we are.
    private struct Work {
        let round: Round
        var layer = 0
        /// Layers until it makes room for others; nil for a live question.
        let turn: Int?
    }

    let queue: JobQueue
    let courtesies = Courtesies()
    private let threads: Int
    private let kernels: Kernels
    private let barrier: Barrier
    private let places: Places
    private let helpers: [Helper]
    private let signal = PassSignal()
    private var live: Scratch
    /// Holds a paused pass's activations; given back with its end.
    private var background: Scratch
    private var current: Work?

    /// Microseconds: about a quarter of what a short question costs (at 85 million weights in the encoder 4 ms in fp32,
    /// 0.8 ms in eight bits).
    private static func courtesy(after round: Round) -> UInt32 {
        let shape = round.model.shape
        let weights = shape.layers * shape.hidden * (4 * shape.hidden + 2 * shape.feedForward)
        return UInt32(min(4_000, max(50, weights / (round.precision == .exact ? 20_000 : 100_000))))
    }

    init(threads: Int, queue: JobQueue, kernels: Kernels) {
        self.threads = threads
        self.queue = queue
        self.kernels = kernels
        places = Places(threads: threads)
        barrier = Barrier(members: threads, ownCores: places.ownCores)
        helpers = (1..<max(threads, 1)).map { _ in Helper() }
        live = Scratch(threads: threads)
        background = Scratch(threads: threads)
    }

    deinit {
        live.release()
        background.release()
    }

    func work(rank: Int) {
        if rank == 0 { lead() } else { help(rank) }
    }

    private func lead() {
        var paused: Work?
        while true {
            switch queue.pop(waiting: paused == nil, orBackground: paused == nil) {
            case .closed:
                paused?.round.finish(.failure(.stopped))
                current = nil
                for helper in helpers { helper.wake() }
                return
            case .live(let job):
                if job.begin() {
                    let round = gather(Round(job))
                    live.reserve(round.batch, round.model.shape, round.precision, codeWidth: kernels.codeWidth)
                    _ = finish(Work(round: round, turn: nil))
                    if courtesies.count.load(ordering: .relaxed) > 0 { usleep(Self.courtesy(after: round)) }
                }
            case .background(let job): paused = begin(job)
            case .nothing: break
            }
            // Where questions never stop coming, one in the background would never begin.
            if paused == nil, let job = queue.takeBackground() { paused = begin(job) }
            if let work = paused {
                paused = finish(work)
                if paused == nil {
                    background.release()
                    background = Scratch(threads: threads)
                }
            }
        }
    }

    /// With those that wait and fit.
    private func gather(_ first: Round) -> Round {
        var round = first
        while round.tokens < WorkerPool.tokensTogether,
            let job = queue.popLive(where: { round.hasRoom(for: $0, tokens: WorkerPool.tokensTogether) })
        {
            if job.begin() { round.add(job) }
        }
        return round
    }

    private func begin(_ job: Job) -> Work? {
        guard job.begin() else { return nil }
        background.reserve(job.batch, job.model.shape, job.precision, codeWidth: kernels.codeWidth)
        return Work(round: Round(job), turn: max(1, job.model.layers.count / 6))
    }

    /// Computes it to its end, or to where it makes room.
    ///
    /// - Returns: what is left of it.
    private func finish(_ work: Work) -> Work? {
        signal.give(.goOn)
        barrier.coresAreHeld.store(places.ownCores && courtesies.count.load(ordering: .relaxed) > 0, ordering: .relaxed)
        current = work
        for helper in helpers { helper.wake() }
        let progress = compute(rank: 0)
        // Helpers may still be on their way to sleep, but none touches the job after the last barrier.
        current = nil
        switch progress {
        case .completed: work.round.finish(.success(()))
        case .givenUp: work.round.finish(.failure(.cancelled))
        case .paused(let layer): return Work(round: work.round, layer: layer, turn: work.turn)
        }
        return nil
    }

    private func help(_ rank: Int) {
        while true {
            helpers[rank - 1].sleep()
            guard current != nil else { return }
            _ = compute(rank: rank)
        }
    }

    private func compute(rank: Int) -> ForwardPass.Progress {
        guard let work = current else { return .givenUp }
        places.hold(rank: rank, barrier.coresAreHeld.load(ordering: .relaxed))
        let pass = ForwardPass(
            round: work.round, kernels: kernels, scratch: work.turn == nil ? live : background, crew: barrier,
            places: places, rank: rank, threads: threads)
        let progress = pass.run(from: work.layer, turn: work.turn, signal: signal) { queue.hasLive }
        barrier.wait()
        return progress
    }
}

/// Given by thread 0 before a barrier, read by all after it.
final class PassSignal: Sendable {
    enum Order: Int { case goOn, stop, pause }

    private let order = Atomic<Int>(Order.goOn.rawValue)

    var given: Order { Order(rawValue: order.load(ordering: .relaxed)) ?? .goOn }
    func give(_ order: Order) { self.order.store(order.rawValue, ordering: .relaxed) }
}

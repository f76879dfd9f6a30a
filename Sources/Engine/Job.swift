import ModelFormat
import Synchronization

/// What is wanted of every blank of a batch.
struct Wanted: Sendable {
    /// How many candidates, best first.
    var top: Int
    /// Vocabulary ids whose scores are wanted besides, in this order.
    var targets: [Int32] = []
    /// How many of the targets the answer lists.
    var topTargets = 0
    var temperature: Float = 1
    /// Ids that are never candidates; their mass is not shared out.
    var excluded: [Int32] = []
    /// Keep all logits.
    var everyLogit = false
    /// How sure each blank is: its entropy and its largest logit.
    var sureness = false

    /// Whether both can be taken from one pass.
    func asks(like other: Wanted) -> Bool {
        top == other.top && temperature == other.temperature && targets == other.targets
            && topTargets == other.topTargets && excluded.count == other.excluded.count
            && everyLogit == other.everyLogit && sureness == other.sureness
    }
}

/// A batch on its way through the pool, with room for its answer.
///
/// States: waiting → running → done, or waiting → done when it is given up in the queue. Whoever takes it out of
/// `waiting` owns the continuation and resumes it exactly once.
///
/// `@unchecked Sendable`: the result buffers are allocated in `init`, written by the crew while the job is running
/// (each blank by one thread), and read only after the continuation was resumed, which orders the two.
final class Job: @unchecked Sendable {
    typealias Outcome = Result<Void, EngineError>

    let batch: Batch
    let wanted: Wanted
    let model: Model
    let precision: Precision
    /// Who asks, for fairness in the queue.
    let client: UInt64

    /// `[blanks][top]`, as many of each row as `found` says.
    let topIds: UnsafeMutableBufferPointer<Int32>
    let topLogits: UnsafeMutableBufferPointer<Float>
    let found: UnsafeMutableBufferPointer<Int>
    /// `[blanks][targets]`.
    let targetLogits: UnsafeMutableBufferPointer<Float>
    /// `[blanks]`: log of the sum over the vocabulary of exp(logit / temperature).
    let logSum: UnsafeMutableBufferPointer<Float>
    /// `[blanks]` when sureness is wanted: nats, and the largest logit of the whole vocabulary.
    let entropy: UnsafeMutableBufferPointer<Float>
    let largest: UnsafeMutableBufferPointer<Float>
    /// `[blanks][vocabulary]` when every logit is wanted.
    let logits: UnsafeMutableBufferPointer<Float>

    private enum State {
        case waiting(CheckedContinuation<Outcome, Never>?)
        case running(CheckedContinuation<Outcome, Never>)
        case done
    }
    private let state = Mutex<State>(.waiting(nil))
    private let cancelled = Atomic<Bool>(false)

    init(_ batch: Batch, model: Model, wanted: Wanted, precision: Precision, client: UInt64 = 0) {
        self.precision = precision
        self.client = client
        self.batch = batch
        self.wanted = wanted
        self.model = model
        let blanks = batch.blanks.count
        topIds = .allocate(capacity: blanks * wanted.top)
        topLogits = .allocate(capacity: blanks * wanted.top)
        found = .allocate(capacity: blanks)
        found.initialize(repeating: 0)
        targetLogits = .allocate(capacity: blanks * wanted.targets.count)
        logSum = .allocate(capacity: blanks)
        entropy = .allocate(capacity: wanted.sureness ? blanks : 0)
        largest = .allocate(capacity: wanted.sureness ? blanks : 0)
        logits = .allocate(capacity: wanted.everyLogit ? blanks * model.shape.vocabulary : 0)
    }

    deinit {
        topIds.deallocate()
        topLogits.deallocate()
        found.deallocate()
        targetLogits.deallocate()
        logSum.deallocate()
        entropy.deallocate()
        largest.deallocate()
        logits.deallocate()
    }

    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    /// Before it is queued. Resumes at once when the job was given up before it had anybody to tell.
    func waits(with continuation: CheckedContinuation<Outcome, Never>) {
        let late = state.withLock { state in
            guard case .waiting = state, !isCancelled else { return true }
            state = .waiting(continuation)
            return false
        }
        if late { continuation.resume(returning: .failure(.cancelled)) }
    }

    /// Called by the pool. False when somebody gave it up meanwhile.
    func begin() -> Bool {
        state.withLock { state in
            guard case .waiting(let continuation?) = state else { return false }
            state = .running(continuation)
            return true
        }
    }

    /// A waiting job ends now, a running one at its next layer.
    func cancel() {
        cancelled.store(true, ordering: .relaxed)
        finish(.failure(.cancelled), onlyWaiting: true)
    }

    func finish(_ outcome: Outcome, onlyWaiting: Bool = false) {
        let continuation = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            switch state {
            case .waiting(let continuation):
                guard let continuation else { return nil }
                state = .done
                return continuation
            case .running(let continuation) where !onlyWaiting:
                state = .done
                return continuation
            case .running, .done: return nil
            }
        }
        continuation?.resume(returning: outcome)
    }
}

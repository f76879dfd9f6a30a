import Synchronization

/// What one pass computes: one job's batch, or those of several that waited at the same time, one after the other.
///
/// What a question's answer is does not depend on its companions, so they are nobody's business but the queue's.
struct Round {
    private(set) var members: [(job: Job, firstBlank: Int)] = []
    private(set) var batch: Batch
    let model: Model
    let precision: Precision

    init(_ job: Job) {
        if job.precision == .exact { job.model.exactPasses.add(1, ordering: .relaxed) }
        members.append((job, 0))
        batch = job.batch
        model = job.model
        precision = job.precision
    }

    var tokens: Int { batch.ids.count }

    /// Whether the job can be computed in the same pass and leaves it small.
    func hasRoom(for job: Job, tokens limit: Int) -> Bool {
        job.model === model && job.precision == precision && tokens + job.batch.ids.count <= limit
    }

    mutating func add(_ job: Job) {
        members.append((job, batch.blanks.count))
        batch.append(job.batch)
    }

    /// Nobody waits for it any more.
    var isGivenUp: Bool { members.allSatisfy { $0.job.isCancelled } }

    func finish(_ outcome: Job.Outcome) {
        for member in members { member.job.finish(outcome) }
    }

    /// - Parameters:
    ///   - blank: its index in `batch.blanks`.
    ///   - state: `[H]`, what the decoder saw.
    func harvest(
        _ logits: UnsafeMutableBufferPointer<Float>, blank: Int, state: UnsafePointer<Float>, kernels: Kernels
    ) {
        guard let member = members.last(where: { $0.firstBlank <= blank }) else { return }
        let harvest = Harvest(job: member.job, kernels: kernels, blank: blank - member.firstBlank, state: state, logits: logits)
        switch precision {
        case .exact: harvest.exact()
        case .fast: harvest.fast()
        }
    }
}

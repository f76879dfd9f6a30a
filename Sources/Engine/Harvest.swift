import Glibc

/// Takes what is wanted out of one blank's logits.
struct Harvest {
    let job: Job
    let kernels: Kernels
    /// The job's own.
    let blank: Int
    /// `[H]`, what the decoder saw.
    let state: UnsafePointer<Float>
    /// `[V]`; may be overwritten.
    let logits: UnsafeMutableBufferPointer<Float>

    /// How many more candidates than wanted are scored anew: what eight bits put a little too low may be among the best.
    private static let margin = 16
    /// How many of the best share the sum over the vocabulary with their exact scores, whatever is asked: a probability
    /// does not depend on how many are wanted.
    private static let sure = 32

    private var wanted: Wanted { job.wanted }
    private var all: UnsafeBufferPointer<Float> { UnsafeBufferPointer(logits) }

    func exact() {
        keep()
        takeSum()
        takeTargets()
        for id in wanted.excluded { logits[Int(id)] = -.infinity }
        takeTop()
    }

    /// The eight-bit decoder says which pieces matter; what they and the targets score is computed from the exact weights.
    func fast() {
        let count = min(max(Self.sure, wanted.top + Self.margin), all.count)
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: count) { ids in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { values in
                // Also what may not be a candidate has its share of the probability.
                let known = top(min(Self.sure, count), ids, values)
                for id in known { logits[Int(id)] = exactLogit(id) }
                keep()
                takeSum()
                for target in wanted.targets { logits[Int(target)] = exactLogit(target) }
                takeTargets()
                guard wanted.top > 0 else { return }
                for id in wanted.excluded { logits[Int(id)] = -.infinity }
                for id in top(min(wanted.top + Self.margin, count), ids, values) { logits[Int(id)] = exactLogit(id) }
            }
        }
        takeTop()
    }

    private func top(
        _ count: Int, _ ids: UnsafeMutableBufferPointer<Int32>, _ values: UnsafeMutableBufferPointer<Float>
    ) -> Slice<UnsafeMutableBufferPointer<Int32>> {
        let found = kernels.top(
            all, into: UnsafeMutableBufferPointer(rebasing: ids[..<count]), UnsafeMutableBufferPointer(rebasing: values[..<count]))
        return ids[..<found]
    }

    /// Once more from the exact weights: `state · decoder[id] + bias[id]`.
    private func exactLogit(_ id: Int32) -> Float { kernels.output(job.model.head.decoder, Int(id), of: state) }

    private func keep() {
        guard wanted.everyLogit else { return }
        let kept = UnsafeMutableBufferPointer(rebasing: job.logits[blank * all.count..<(blank + 1) * all.count])
        _ = kept.update(from: all)
    }

    private func takeSum() {
        job.logSum[blank] = kernels.logSumExp(all, temperature: wanted.temperature)
        guard wanted.sureness else { return }
        job.entropy[blank] = kernels.entropy(all, temperature: wanted.temperature, logSum: job.logSum[blank])
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: 1) { id in
            // Where nothing is above −∞, the sum is not finite, and the job fails by that.
            let found = kernels.top(all, into: id, UnsafeMutableBufferPointer(rebasing: job.largest[blank..<blank + 1]))
            if found == 0 { job.largest[blank] = -.infinity }
        }
    }

    private func takeTargets() {
        for (index, target) in wanted.targets.enumerated() {
            job.targetLogits[blank * wanted.targets.count + index] = logits[Int(target)]
        }
    }

    private func takeTop() {
        let row = blank * wanted.top..<(blank + 1) * wanted.top
        job.found[blank] = kernels.top(
            all, into: UnsafeMutableBufferPointer(rebasing: job.topIds[row]),
            UnsafeMutableBufferPointer(rebasing: job.topLogits[row]))
    }
}

extension Job {
    /// P(id) of each candidate and target: `exp(logit / temperature − logSum)`.
    func probability(of logit: Float, blank: Int) -> Float {
        let exponent = Double(logit) / Double(wanted.temperature) - Double(logSum[blank])
        return min(1, Float(exp(exponent)))
    }

    /// False when the model computed an infinity or something that is not a number.
    var isFinite: Bool { logSum.allSatisfy(\.isFinite) }
}

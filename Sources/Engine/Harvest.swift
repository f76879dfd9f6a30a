import Glibc

extension Job {
    /// Takes what is wanted out of one blank's `logits[V]`, which it may overwrite.
    func harvest(_ logits: UnsafeMutableBufferPointer<Float>, blank: Int, kernels: Kernels) {
        let all = UnsafeBufferPointer(logits)
        if wanted.everyLogit {
            let kept = UnsafeMutableBufferPointer(rebasing: self.logits[blank * all.count..<(blank + 1) * all.count])
            _ = kept.update(from: all)
        }
        logSum[blank] = kernels.logSumExp(all, temperature: wanted.temperature)
        for (index, target) in wanted.targets.enumerated() {
            targetLogits[blank * wanted.targets.count + index] = logits[Int(target)]
        }
        for id in wanted.excluded { logits[Int(id)] = -.infinity }
        let row = blank * wanted.top..<(blank + 1) * wanted.top
        found[blank] = kernels.top(
            all, into: UnsafeMutableBufferPointer(rebasing: topIds[row]),
            UnsafeMutableBufferPointer(rebasing: topLogits[row]))
    }

    /// P(id) of each candidate and target: `exp(logit / temperature − logSum)`.
    func probability(of logit: Float, blank: Int) -> Float {
        let exponent = Double(logit) / Double(wanted.temperature) - Double(logSum[blank])
        return min(1, Float(exp(exponent)))
    }

    /// False when the model computed an infinity or something that is not a number.
    var isFinite: Bool { logSum.allSatisfy(\.isFinite) }
}

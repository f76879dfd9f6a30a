import Glibc

/// Length weights by maximum likelihood: P(ℓ) = softmax over ℓ of a·s_ℓ + b_ℓ, a ≥ 0, b₁ = 0 (multinomial logistic
/// regression with one slope for all). Where a model is no surer of the right length than of others, a is 0 and P(ℓ) is how
/// often each length occurs.
public struct LengthFit: Sendable {
    public let slope: Double
    /// One for each length from 1 on.
    public let offsets: [Double]
    /// Mean log likelihood of the right length in nats, with a = 1 and b = 0, and as fitted.
    public let before, after: Double

    /// What one blank says: s_ℓ for each competing length, and how long its answer is.
    public struct Observation: Sendable {
        public let evidence: [Double]
        public let length: Int

        public init(evidence: [Double], length: Int) { (self.evidence, self.length) = (evidence, length) }
    }

    /// - Precondition: observations are not empty, all of the same number of lengths, answers among them.
    public init(_ observations: [Observation]) {
        let lengths = observations[0].evidence.count
        let unfitted = [1.0] + Array(repeating: 0.0, count: lengths - 1)
        let weights = Self.climbed(unfitted, observations)
        (slope, offsets) = (weights[0], [0] + weights[1...])
        before = Self.likelihood(unfitted, observations).value
        after = Self.likelihood(weights, observations).value
    }

    /// Gradient ascent with a step that grows while it helps: the likelihood is concave, and a little ridge keeps weights
    /// finite where a length never occurs.
    private static func climbed(_ start: [Double], _ observations: [Observation]) -> [Double] {
        let ridge = 1e-3
        func worth(_ weights: [Double]) -> (value: Double, gradient: [Double]) {
            let (value, gradient) = likelihood(weights, observations)
            return (
                value - ridge / 2 * weights.reduce(0) { $0 + $1 * $1 }, zip(gradient, weights).map { $0 - ridge * $1 }
            )
        }
        var (weights, current, step) = (start, worth(start), 1.0)
        for _ in 0..<2_000 where step > 1e-9 {
            var tried = zip(weights, current.gradient).map { $0 + step * $1 }
            tried[0] = max(0, tried[0])
            let next = worth(tried)
            guard next.value > current.value else {
                step /= 2
                continue
            }
            if next.value - current.value < 1e-12 { return tried }
            (weights, current, step) = (tried, next, step * 1.3)
        }
        return weights
    }

    /// Means over the observations. Weights: the slope, then offsets from the second length on.
    private static func likelihood(
        _ weights: [Double], _ observations: [Observation]
    ) -> (value: Double, gradient: [Double]) {
        var (value, gradient) = (0.0, weights.map { _ in 0.0 })
        for one in observations {
            let logP = logShares(one, weights)
            value += logP[one.length - 1]
            for length in 1...logP.count {
                let error = (length == one.length ? 1 : 0) - exp(logP[length - 1])
                gradient[0] += error * one.evidence[length - 1]
                if length > 1 { gradient[length - 1] += error }
            }
        }
        let count = Double(observations.count)
        return (value / count, gradient.map { $0 / count })
    }

    private static func logShares(_ one: Observation, _ weights: [Double]) -> [Double] {
        let values = one.evidence.indices.map { weights[0] * one.evidence[$0] + ($0 > 0 ? weights[$0] : 0) }
        let most = values.max() ?? 0
        let sum = log(values.reduce(0) { $0 + exp($1 - most) }) + most
        return values.map { $0 - sum }
    }
}

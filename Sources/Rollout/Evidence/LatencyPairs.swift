/// The same questions to two versions, one right after the other: whether the candidate takes longer. Milliseconds.
public struct LatencyPairs: Sendable, Equatable {
    public private(set) var live: [Double] = []
    public private(set) var candidate: [Double] = []

    /// Enough for a 99th percentile.
    static let fewest = 50
    private static let most = 8192

    public init() {}

    public mutating func add(live: Double, candidate: Double) {
        guard self.live.count < Self.most else { return }
        self.live.append(live)
        self.candidate.append(candidate)
    }

    public var count: Int { live.count }

    public static func percentile(_ percent: Int, of times: [Double]) -> Double {
        let sorted = times.sorted()
        return sorted.isEmpty ? 0 : sorted[(sorted.count * percent + 99) / 100 - 1]
    }

    public struct Summary: Sendable, Equatable {
        public let ratio: Double
        public let liveP99: Double
        public let candidateP99: Double
        /// Questions beyond one and a half times the live version's 99th percentile.
        public let liveBeyond: Int
        public let candidateBeyond: Int
    }

    /// nil where there are too few pairs.
    public var summary: Summary? {
        guard count >= Self.fewest else { return nil }
        let p99 = Self.percentile(99, of: live)
        return Summary(
            ratio: Self.percentile(50, of: zip(live, candidate).map { $1 / max($0, 1e-6) }), liveP99: p99,
            candidateP99: Self.percentile(99, of: candidate), liveBeyond: live.count { $0 > 1.5 * p99 },
            candidateBeyond: candidate.count { $0 > 1.5 * p99 })
    }
}

extension LatencyPairs.Summary {
    /// What is slower by less is still the same to a person; a version whose every tensor was learned packs the weights
    /// of a small model twice, and may.
    public static let tolerated = 1.7
    static let certainty = 0.001

    public var isSlower: Bool { ratio >= Self.tolerated }

    /// A few questions that take very long do not show in the middle.
    public var hasTail: Bool {
        candidateBeyond >= liveBeyond + 8
            && Binomial.tail(candidateBeyond, of: candidateBeyond + liveBeyond, at: 0.5) <= Self.certainty
    }
}

import Synchronization

/// Numbers of this process; how they are shown is for who shows them.
public final class RolloutMetrics: Sendable {
    public struct Snapshot: Sendable {
        /// How dropped files ended, by a receipt's status.
        public var patches: [String: Int] = [:]
        /// Seconds from an order to go back to the exchanged reference.
        public var rollbacks = Histogram(bounds: [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.1])
        /// Seconds from merged to the first answer by the new version.
        public var swaps = Histogram(bounds: [0.05, 0.1, 0.2, 0.32, 0.5, 1, 2.5, 5, 10, 30, 60])
        /// Seconds from a file's last change to merged and synced.
        public var intakes = Histogram(bounds: [0.1, 0.25, 0.5, 1, 1.5, 2.5, 5, 10, 30, 60, 300])
        public var waiting = 0
        /// Questions that both versions answered in the shadow, by suite ("recent" for clients' own).
        public var shadow: [String: Shadow] = [:]
        /// By who tripped it.
        public var trips = 0
        /// Verdicts by their word.
        public var verdicts: [String: Int] = [:]

        public struct Shadow: Sendable {
            public var same = 0
            public var different = 0
            public var lost = 0
            public var gained = 0
        }

        mutating func add(_ pair: ShadowPair) {
            var counts = shadow[pair.suite ?? "recent"] ?? Shadow()
            if pair.isSame { counts.same += 1 } else { counts.different += 1 }
            if pair.suite != nil {
                if pair.live.rank == 1, pair.candidate.rank != 1 { counts.lost += 1 }
                if pair.live.rank != 1, pair.candidate.rank == 1 { counts.gained += 1 }
            }
            shadow[pair.suite ?? "recent"] = counts
        }
    }
    private let state = Mutex(Snapshot())

    public var snapshot: Snapshot { state.withLock { $0 } }

    func change(_ body: (inout Snapshot) -> Void) { state.withLock { body(&$0) } }
}

/// Counts of values up to each bound; buckets are cumulative only when they are shown (Prometheus).
public struct Histogram: Sendable {
    /// Upper bounds, rising.
    public let bounds: [Double]
    public private(set) var buckets: [UInt64]
    public private(set) var count: UInt64 = 0
    public private(set) var sum = 0.0

    public init(bounds: [Double]) {
        self.bounds = bounds
        buckets = Array(repeating: 0, count: bounds.count)
    }

    public mutating func record(_ value: Double) {
        if let index = bounds.firstIndex(where: { value <= $0 }) { buckets[index] += 1 }
        count += 1
        sum += value
    }
}

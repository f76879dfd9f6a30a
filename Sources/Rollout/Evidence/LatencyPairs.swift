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

    /// By halving what may still hold it (Hoare's selection): sorting all of it would cost many times that.
    public static func percentile(_ percent: Int, of times: [Double]) -> Double {
        guard !times.isEmpty else { return 0 }
        var times = times
        let rank = max(0, (times.count * percent + 99) / 100 - 1)
        times.withUnsafeMutableBufferPointer { times in
            var (low, high) = (0, times.count - 1)
            while low < high {
                let pivot = times[low + (high - low) / 2]
                var (left, right) = (low, high)
                while left <= right {
                    while times[left] < pivot { left += 1 }
                    while times[right] > pivot { right -= 1 }
                    guard left <= right else { break }
                    times.swapAt(left, right)
                    left += 1
                    right -= 1
                }
                if rank <= right { high = right } else if rank >= left { low = left } else { break }
            }
        }
        return times[rank]
    }

    public struct Summary: Sendable, Equatable {
        public let ratio: Double
        /// The difference of the medians.
        public let slower: Double
        public let liveP99: Double
        public let candidateP99: Double
        /// Questions that this version alone took long for: beyond one and a half times the live version's 99th
        /// percentile, and two and a half times what the other took.
        public let liveBeyond: Int
        public let candidateBeyond: Int
    }

    /// nil where there are too few pairs.
    public var summary: Summary? {
        guard count >= Self.fewest else { return nil }
        let p99 = Self.percentile(99, of: live)
        func isBeyond(_ time: Double, _ other: Double) -> Bool {
            time > 1.5 * p99 && time > 2.5 * other && time > other + Summary.slice
        }
        let pairs = zip(live, candidate)
        return Summary(
            ratio: Self.percentile(50, of: pairs.map { $1 / max($0, 1e-6) }),
            slower: Self.percentile(50, of: candidate) - Self.percentile(50, of: live), liveP99: p99,
            candidateP99: Self.percentile(99, of: candidate), liveBeyond: pairs.count { isBeyond($0, $1) },
            candidateBeyond: pairs.count { isBeyond($1, $0) })
    }
}

extension LatencyPairs.Summary {
    /// What is slower by less is still the same to a person; a version whose every tensor was learned packs the weights
    /// of a small model twice, and may.
    public static let tolerated = 1.7
    /// Milliseconds that nobody notices, and that a busy machine adds to a question of a few microseconds as it likes.
    static let unnoticed = 0.3
    /// Milliseconds: a time slice of the scheduler (4, sched(7)) and a little more, which whoever comes at the wrong moment
    /// waits for. It says nothing of a version.
    static let slice = 5.0
    static let certainty = 0.01
    /// How many more than of the live version. Of 1 300 questions one in a hundred is thirteen; seven of these show in
    /// 97 of 100 trials.
    static let fewestMore = 7

    public var isSlower: Bool { ratio >= Self.tolerated && slower > Self.unnoticed }

    /// A few questions that take very long do not show in the middle. Each is compared with the same question to the
    /// other version, so long questions are no argument, and what the machine itself does to both cancels out.
    public var hasTail: Bool {
        candidateBeyond >= liveBeyond + Self.fewestMore
            && Binomial.tail(candidateBeyond, of: candidateBeyond + liveBeyond, at: 0.5) <= Self.certainty
    }
}

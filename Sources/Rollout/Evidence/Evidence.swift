/// What is known of a candidate beside the live version. Pure numbers: who gathered them, and when, is elsewhere.
public struct Evidence: Sendable, Equatable {
    /// A suite, answered by both.
    public struct Domain: Sendable, Equatable {
        public var first = PairedCounts()
        public var amongThree = PairedCounts()
        /// By how much the candidate is surer of itself than it has a right to, more than the live version.
        public var overconfidence = Spread()
        /// Of the candidate.
        public var right = 0
        public var rightAmongThree = 0
        public var bins = ConfidenceBins()
        public var liveBins = ConfidenceBins()
        /// The candidate's row by row, for who compares with them later: 0 wrong, 1 right among three, 2 right first.
        public var marks: [UInt8] = []

        public init() {}
    }

    /// Recent questions, answered by both; nobody knows what is right.
    public struct Agreement: Sendable, Equatable {
        public var asked = 0
        /// Another first candidate.
        public var different = 0
        /// The live version's first candidate is not among the candidate's first three.
        public var gone = 0
        /// Sure (0.5 and more) of its first candidate.
        public var sure = PairedCounts()

        public init() {}
    }

    /// Live traffic of a version.
    public struct Traffic: Sendable, Equatable {
        public var answers = 0
        public var failures = 0
        /// How many clients, counted up to `mostClients`.
        public var clients = 0
        /// Answers that somebody called wrong.
        public var disapproved = 0

        public init(answers: Int = 0, failures: Int = 0, clients: Int = 0, disapproved: Int = 0) {
            (self.answers, self.failures, self.clients, self.disapproved) = (answers, failures, clients, disapproved)
        }
    }

    public var domains: [String: Domain] = [:]
    public var recent = Agreement()
    /// All that both answered in the shadow.
    public var latency = LatencyPairs()
    /// Those of them that were asked as clients ask (`ShadowPair.isWhole`).
    public var wholeLatency = LatencyPairs()
    public var failures = FailureTest()
    public var liveFailures = FailureTest()
    /// What follows from all latencies is worked out then, once: what is tried is looked at four times a second.
    public var isShadowComplete = false {
        didSet {
            latencySummary = isShadowComplete ? latency.summary : nil
            wholeSummary = isShadowComplete ? wholeLatency.summary : nil
        }
    }
    public private(set) var latencySummary: LatencyPairs.Summary?
    public private(set) var wholeSummary: LatencyPairs.Summary?
    /// Both have the same shape, so the same speed is expected.
    public var isSameShape = true
    /// Milliseconds after which a client is told that there is no answer.
    public var deadline = 2000.0
    /// Bytes that the machine has left with the candidate mapped; nil where it cannot be told.
    public var memoryLeft: Int?

    /// Since the candidate takes traffic, and of these its present stage.
    public var live = Traffic()
    public var candidate = Traffic() {
        didSet { candidateFailures.add(answers: candidate.answers - oldValue.answers, failures: candidate.failures - oldValue.failures) }
    }
    /// Of live traffic, look by look: of the totals alone, thousands of good answers would outweigh what comes after.
    public private(set) var candidateFailures = FailureTest()
    public var stage = Traffic()

    public init() {}

    /// All suites together.
    public var pooled: Domain {
        domains.values.reduce(into: Domain()) { all, domain in
            all.first.add(domain.first)
            all.amongThree.add(domain.amongThree)
            all.overconfidence.add(domain.overconfidence)
            all.right += domain.right
            all.rightAmongThree += domain.rightAmongThree
            all.bins.add(domain.bins)
            all.liveBins.add(domain.liveBins)
        }
    }
}

extension PairedCounts {
    mutating func add(_ other: PairedCounts) {
        rows += other.rows
        lost += other.lost
        gained += other.gained
    }
}

/// Of numbers that come one by one: how many, their mean, and how sure that is.
public struct Spread: Sendable, Equatable {
    public private(set) var count = 0
    private var sum = 0.0
    private var squares = 0.0

    public init() {}

    public mutating func add(_ value: Double) {
        count += 1
        sum += value
        squares += value * value
    }

    mutating func add(_ other: Spread) {
        count += other.count
        sum += other.sum
        squares += other.squares
    }

    public var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// The mean in standard errors.
    public var standardised: Double {
        guard count > 1 else { return 0 }
        let variance = max(1e-12, (squares - sum * mean) / Double(count - 1))
        return mean / (variance / Double(count)).squareRoot()
    }
}

/// First candidates by how sure the version was of them, in ten equal parts.
public struct ConfidenceBins: Sendable, Equatable {
    private var count = [Int](repeating: 0, count: 10)
    private var confidence = [Double](repeating: 0, count: 10)
    private var right = [Int](repeating: 0, count: 10)

    public init() {}

    mutating func add(_ share: Double, isRight: Bool) {
        let bin = share.isFinite ? min(9, max(0, Int(share * 10))) : 0
        count[bin] += 1
        confidence[bin] += share.isFinite ? share : 0
        if isRight { right[bin] += 1 }
    }

    mutating func add(_ other: ConfidenceBins) {
        for bin in 0..<10 {
            count[bin] += other.count[bin]
            confidence[bin] += other.confidence[bin]
            right[bin] += other.right[bin]
        }
    }

    /// Expected calibration error (Guo et al. 2017), 0 to 1.
    public var error: Double {
        let all = count.reduce(0, +)
        guard all > 0 else { return 0 }
        return (0..<10).reduce(0) { $0 + abs(Double(right[$1]) - confidence[$1]) } / Double(all)
    }
}

// MARK: - From answers

/// One question to both versions.
public struct ShadowPair: Sendable, Equatable {
    public struct Reply: Sendable, Equatable {
        /// Of the right answer among the first three, from 1; nil where it is not, or not known.
        public var rank: Int?
        /// Of the first candidate.
        public var confidence: Double
        public var milliseconds: Double
        public var hasFailed: Bool

        public init(rank: Int? = nil, confidence: Double = 0, milliseconds: Double = 0, hasFailed: Bool = false) {
            (self.rank, self.confidence, self.milliseconds, self.hasFailed) = (rank, confidence, milliseconds, hasFailed)
        }
    }

    /// nil: a recent question.
    public var suite: String?
    public var live: Reply
    public var candidate: Reply
    /// Both have the same first candidate.
    public var isSame: Bool
    /// The live version's first candidate is among the candidate's first three.
    public var isKept: Bool
    /// A row that was searched for as long as a client's question is; the others are searched for less.
    public var isWhole: Bool

    public init(suite: String?, live: Reply, candidate: Reply, isSame: Bool, isKept: Bool, isWhole: Bool = false) {
        (self.suite, self.live, self.candidate) = (suite, live, candidate)
        (self.isSame, self.isKept, self.isWhole) = (isSame, isKept, isWhole)
    }
}

extension Evidence {
    public mutating func add(_ pair: ShadowPair) {
        let (before, after) = (pair.live, pair.candidate)
        failures.add(answers: 1, failures: after.hasFailed ? 1 : 0)
        liveFailures.add(answers: 1, failures: before.hasFailed ? 1 : 0)
        if before.hasFailed { return }
        if !after.hasFailed {
            latency.add(live: before.milliseconds, candidate: after.milliseconds)
            if pair.isWhole { wholeLatency.add(live: before.milliseconds, candidate: after.milliseconds) }
        }
        guard let suite = pair.suite else {
            recent.asked += 1
            if !pair.isSame { recent.different += 1 }
            if !pair.isKept { recent.gone += 1 }
            recent.sure.add(before.confidence >= 0.5, after.confidence >= 0.5)
            return
        }
        domains[suite, default: Domain()].add(before, after)
    }
}

extension Evidence.Domain {
    /// In place: a copy would be one of every row so far.
    fileprivate mutating func add(_ before: ShadowPair.Reply, _ after: ShadowPair.Reply) {
        // A question that fails is one that is not answered rightly.
        func isRight(_ reply: ShadowPair.Reply, _ count: Int) -> Bool { !reply.hasFailed && reply.rank.map { $0 <= count } ?? false }
        first.add(isRight(before, 1), isRight(after, 1))
        amongThree.add(isRight(before, 3), isRight(after, 3))
        if !after.hasFailed {
            func excess(_ reply: ShadowPair.Reply) -> Double { reply.confidence - (isRight(reply, 1) ? 1 : 0) }
            overconfidence.add(excess(after) - excess(before))
        }
        bins.add(after.confidence, isRight: isRight(after, 1))
        liveBins.add(before.confidence, isRight: isRight(before, 1))
        if isRight(after, 1) { right += 1 }
        if isRight(after, 3) { rightAmongThree += 1 }
        marks.append(isRight(after, 1) ? 2 : isRight(after, 3) ? 1 : 0)
    }
}

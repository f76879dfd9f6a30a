/// Watches a version after its commit, second by second, and says when it must be left for the snapshot. Pure; times are
/// of a clock that never jumps.
///
/// The rule it began with, more than one failure in two hundred answers within a minute, would trip at the first
/// failure wherever fewer than two hundred questions a minute are asked. So it takes three failures at least, and as
/// many as one in two hundred would bring by chance once in ten thousand minutes. And where a minute has fewer than two
/// hundred answers, the last two hundred count as well, however long ago: at two hundred questions a day a version that
/// fails always would hardly ever fail three times within a minute.
public struct Breaker: Sendable, Equatable {
    public struct Trip: Sendable, Equatable {
        public let answers: Int
        public let failures: Int

        public init(answers: Int, failures: Int) { (self.answers, self.failures) = (answers, failures) }
    }

    public static let rate = 0.005
    public static let window: Duration = .seconds(60)
    public static let answersWanted = 200
    static let fewest = 3
    static let certainty = 0.0001
    private static let slice: Duration = .seconds(5)

    private struct Slice: Sendable, Equatable {
        let number: Int
        var answers: Int
        var failures: Int
    }
    /// The last minute's, and before them as many as two hundred answers take.
    private var slices: [Slice] = []

    public init() {}

    /// Downwards: towards zero, the first slice of all would be forgotten before its minute is over.
    private static func number(_ time: Duration) -> Int { Int((time / slice).rounded(.down)) }

    /// What was answered since the last call.
    public mutating func add(answers: Int, failures: Int, at now: Duration) {
        // Counters that began anew have nothing to say.
        guard answers > 0, (0...answers).contains(failures) else { return }
        let number = Self.number(now)
        if slices.last?.number == number {
            slices[slices.count - 1].answers += answers
            slices[slices.count - 1].failures += failures
        } else {
            slices.append(Slice(number: number, answers: answers, failures: failures))
        }
        let old = Self.number(now - Self.window)
        var all = slices.reduce(0) { $0 + $1.answers }
        while let first = slices.first, first.number <= old, all - first.answers >= Self.answersWanted {
            all -= first.answers
            slices.removeFirst()
        }
    }

    /// - Returns: why it trips, or nil.
    public func trip(at now: Duration) -> Trip? {
        let old = Self.number(now - Self.window)
        return Self.trip(slices.filter { $0.number > old }) ?? Self.trip(slices)
    }

    private static func trip(_ slices: some Sequence<Slice>) -> Trip? {
        let (answers, failures) = slices.reduce((0, 0)) { ($0.0 + $1.answers, $0.1 + $1.failures) }
        guard failures >= fewest, Double(failures) > rate * Double(answers),
            Binomial.tail(failures, of: answers, at: rate) <= certainty
        else { return nil }
        return Trip(answers: answers, failures: failures)
    }
}

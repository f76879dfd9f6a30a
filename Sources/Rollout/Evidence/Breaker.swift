/// Watches a version after its commit, second by second, and says when it must be left for the snapshot. Pure; times are
/// of a clock that never jumps.
///
/// The rule it began with, more than one failure in two hundred answers within a minute, would trip at the first
/// failure wherever fewer than two hundred questions a minute are asked. So it takes three failures at least, and as
/// many as one in two hundred would bring by chance once in ten thousand minutes.
public struct Breaker: Sendable, Equatable {
    public struct Trip: Sendable, Equatable {
        public let answers: Int
        public let failures: Int
    }

    public static let rate = 0.005
    public static let window: Duration = .seconds(60)
    static let fewest = 3
    static let certainty = 0.0001
    private static let slice: Duration = .seconds(5)

    private struct Slice: Sendable, Equatable {
        let number: Int
        var answers: Int
        var failures: Int
    }
    private var slices: [Slice] = []

    public init() {}

    /// What was answered since the last call.
    public mutating func add(answers: Int, failures: Int, at now: Duration) {
        guard answers > 0 else { return }
        let number = Int(now / Self.slice)
        if slices.last?.number == number {
            slices[slices.count - 1].answers += answers
            slices[slices.count - 1].failures += failures
        } else {
            slices.append(Slice(number: number, answers: answers, failures: failures))
        }
        let first = Int((now - Self.window) / Self.slice)
        slices.removeAll { $0.number <= first }
    }

    /// - Returns: why it trips, or nil.
    public func trip(at now: Duration) -> Trip? {
        let first = Int((now - Self.window) / Self.slice)
        let inside = slices.filter { $0.number > first }
        let (answers, failures) = inside.reduce((0, 0)) { ($0.0 + $1.answers, $0.1 + $1.failures) }
        guard failures >= Self.fewest, Double(failures) > Self.rate * Double(answers),
            Binomial.tail(failures, of: answers, at: Self.rate) <= Self.certainty
        else { return nil }
        return Trip(answers: answers, failures: failures)
    }
}

import Glibc

/// Wald's sequential probability ratio test on failures (Wald, "Sequential Analysis", 1947): after each answer it has
/// decided, or wants more. A failure is a version's own: a score that is not finite, an internal error, a missed
/// deadline; never what a client did wrong.
///
/// It decides between one failure in a thousand answers and one in fifty. One failure in two hundred at the same
/// certainty would take 598 clean answers and more; that rate is watched for after the commit, where answers are many
/// (`Breaker`).
public struct FailureTest: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable { case acceptable, unacceptable, open }

    /// Shares of answers.
    public static let acceptable = 0.001
    public static let unacceptable = 0.02
    /// How often an acceptable version may be called unacceptable, and the reverse.
    public static let falseAlarm = 0.001
    public static let missed = 0.01

    public private(set) var answers = 0
    public private(set) var failures = 0
    /// The first decision stands until the other bound is crossed.
    public private(set) var outcome = Outcome.open

    public init() {}

    private static let perFailure = log(unacceptable / acceptable)
    private static let perSuccess = log((1 - unacceptable) / (1 - acceptable))
    private static let upper = log((1 - missed) / falseAlarm)
    private static let lower = log(missed / (1 - falseAlarm))
    /// Log likelihood ratio; kept between the bounds, so that a thousand good answers do not outweigh what comes after.
    private var ratio = 0.0

    public mutating func add(answers more: Int, failures failed: Int) {
        // Counters that began anew have nothing to say.
        guard more > 0, (0...more).contains(failed) else { return }
        answers += more
        failures += failed
        ratio += Double(failed) * Self.perFailure + Double(more - failed) * Self.perSuccess
        if ratio >= Self.upper { outcome = .unacceptable } else if ratio <= Self.lower { outcome = .acceptable }
        ratio = min(max(ratio, Self.lower), Self.upper)
    }

    public var share: Double { answers == 0 ? 0 : Double(failures) / Double(answers) }

    /// Answers without a failure after which a version is acceptable: 240.
    public static var cleanAnswers: Int { Int((lower / perSuccess).rounded(.up)) }
}

public import Engine
public import Evaluation
public import ModelFormat

/// Asks the live version and a candidate the same: every row of the suites, then recent questions; one right after the
/// other, so that whatever else the machine does is the same for both.
public struct ShadowRun: Sendable {
    public let live: Version
    public let candidate: Version
    public let precision: Precision

    public init(live: Version, candidate: Version, precision: Precision) {
        (self.live, self.candidate, self.precision) = (live, candidate, precision)
    }

    /// Both answer their first questions: what would end the process ends it here.
    ///
    /// - Throws: what a version answers that is no answer.
    public func warm() async throws(RolloutError) {
        _ = try await Prewarm.run(live)
        _ = try await Prewarm.run(candidate)
    }

    /// - Parameter take: false ends the run.
    public func run(_ suites: [Suite], recent: [String], _ take: @Sendable (ShadowPair) async -> Bool) async {
        let rows = suites.flatMap { suite in
            Self.asked(of: suite, atMost: max(Self.mostRows, Self.fewest / suites.count)).map { (suite.name, $0) }
        }
        for (number, (suite, row)) in rows.enumerated() {
            if Task.isCancelled { return }
            var question = Question(
                row.text, topK: 3, temperature: nil, precision: precision, span: row.span == 1 ? .one : .pieces(row.span))
            question.isFresh = true
            let isWhole = number.isMultiple(of: max(1, rows.count / Self.wholeRows))
            if !isWhole { question.limits = Self.limits }
            if await !take(await pair(question, suite: suite, row, isWhole: isWhole)) { return }
        }
        for text in recent {
            if Task.isCancelled { return }
            var question = Question(text, topK: 3, temperature: nil, precision: precision)
            question.isFresh = true
            let pair = await pair(question, suite: nil, nil)
            // What neither can answer is the question's own fault.
            if pair.live.hasFailed, pair.candidate.hasFailed { continue }
            if await !take(pair) { return }
        }
    }

    /// Of a larger suite, evenly: what more rows would show of one domain is not worth the time that all of them take.
    public static let mostRows = 200

    /// A quarter of what a client's question may cost. The packaged suites have the same figures with twelve, within half a
    /// point each (ROLLOUT.md); both versions search alike.
    static let limits = SpanSearch.Limits(expansions: 3)

    /// So many rows, evenly, cost what a client's question does: a version that is slow because it has to search is seen there.
    static let wholeRows = 80

    /// Of all suites together, where there are as many: the test on failures wants 240 answers without one.
    static let fewest = 300

    static func asked(of suite: Suite, atMost count: Int) -> [Row] {
        guard suite.rows.count > count else { return suite.rows }
        return (0..<count).map { suite.rows[$0 * suite.rows.count / count] }
    }

    private func pair(_ question: Question, suite: String?, _ row: Row?, isWhole: Bool = false) async -> ShadowPair {
        // Neither is always the one whose question warmed the caches.
        let (before, after): (Asked, Asked)
        if question.text.utf8.count.isMultiple(of: 2) {
            before = await ask(live, question)
            after = await ask(candidate, question)
        } else {
            after = await ask(candidate, question)
            before = await ask(live, question)
        }
        func reply(_ asked: Asked) -> ShadowPair.Reply {
            .init(
                rank: row.flatMap { row in asked.texts.firstIndex(where: row.isRight) }.map { $0 + 1 }, confidence: asked.confidence,
                milliseconds: asked.milliseconds, hasFailed: asked.hasFailed)
        }
        return ShadowPair(
            suite: suite, live: reply(before), candidate: reply(after), isSame: before.texts.first == after.texts.first,
            isKept: before.texts.first.map { after.texts.prefix(3).contains($0) } ?? true, isWhole: isWhole)
    }

    private struct Asked {
        var texts: [String] = []
        var confidence = 0.0
        var milliseconds = 0.0
        var hasFailed = false
    }

    private func ask(_ version: Version, _ question: Question) async -> Asked {
        let started = ContinuousClock.now
        var asked = Asked()
        do throws(EngineError) {
            let answer = try await version.fillMask.answer(question)
            let candidates = answer.blanks.first?.candidates ?? []
            asked.texts = candidates.map(\.text)
            asked.confidence = Double(candidates.first?.score ?? 0)
            asked.hasFailed = !candidates.allSatisfy { $0.score.isFinite }
        } catch {
            asked.hasFailed = true
        }
        asked.milliseconds = (ContinuousClock.now - started) / .milliseconds(1)
        return asked
    }
}

/// What a shadow has to do; versions by their fingerprints, for it may be done by another process.
public struct ShadowOrder: Sendable {
    public let live: Fingerprint
    public let candidate: Fingerprint
    /// Scrubbed.
    public let recent: [String]

    public init(live: Fingerprint, candidate: Fingerprint, recent: [String]) {
        (self.live, self.candidate, self.recent) = (live, candidate, recent)
    }
}

public enum ShadowEvent: Sendable {
    /// Both versions are open, and answer.
    case ready
    case pair(ShadowPair)
    /// Everything was asked.
    case complete
    /// It ended before that, by a signal or an exit code.
    case broke(String)
    /// It could not begin: nothing is said of the candidate.
    case unavailable(String)
}

extension ShadowRun {
    /// In this process.
    public func events(_ suites: [Suite], recent: [String]) -> AsyncStream<ShadowEvent> {
        AsyncStream { continuation in
            let work = Task {
                continuation.yield(.ready)
                await run(suites, recent: recent) { pair in
                    continuation.yield(.pair(pair))
                    return true
                }
                continuation.yield(.complete)
                continuation.finish()
            }
            continuation.onTermination = { _ in work.cancel() }
        }
    }
}

/// Who casts the shadow. The stream's end, or its being dropped, ends the work.
public typealias Shadowing = @Sendable (ShadowOrder) -> AsyncStream<ShadowEvent>

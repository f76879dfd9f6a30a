import Engine

/// The first questions of a version: twenty lines that everybody knows, as one ragged batch in the background. They warm
/// what has to be warm, and they are the last look before it answers people.
package struct Prewarm: Sendable {
    /// Known answers it gave, of `questions`.
    let known: Int
    let took: Duration

    package init(known: Int, took: Duration) { (self.known, self.took) = (known, took) }

    static let limit: Duration = .seconds(60)

    private static let probes: [(text: String, answer: String)] = [
        ("画龙点[MASK]", "睛"), ("守株待[MASK]", "兔"), ("亡羊补[MASK]", "牢"), ("掩耳盗[MASK]", "铃"), ("刻舟求[MASK]", "剑"),
        ("井底之[MASK]", "蛙"), ("狐假虎[MASK]", "威"), ("对牛弹[MASK]", "琴"), ("杯弓蛇[MASK]", "影"), ("叶公好[MASK]", "龙"),
        ("滥竽充[MASK]", "数"), ("拔苗助[MASK]", "长"), ("愚公移[MASK]", "山"), ("望梅止[MASK]", "渴"), ("完璧归[MASK]", "赵"),
        ("卧薪尝[MASK]", "胆"), ("破釜沉[MASK]", "舟"), ("四面楚[MASK]", "歌"), ("三顾茅[MASK]", "庐"), ("一鸣惊[MASK]", "人"),
    ]

    static var questions: Int { probes.count }

    /// - Throws: `.engine` for an answer that is none (not finite, above all).
    static func run(_ version: Version) async throws(RolloutError) -> Prewarm {
        let start = ContinuousClock.now
        let outcomes = await version.fillMask.answer(probes.map { Question($0.text) }, inBackground: true)
        var known = 0
        for (outcome, probe) in zip(outcomes, probes) {
            let answer: Answer
            do { answer = try outcome.get() } catch { throw .engine(error) }
            let candidates = answer.blanks.flatMap(\.candidates)
            guard let best = candidates.first, candidates.allSatisfy({ $0.score.isFinite && (0...1).contains($0.score) }) else {
                throw .prewarm(expected: "candidates with probabilities", found: "none for \(probe.text)")
            }
            if best.text == probe.answer { known += 1 }
        }
        return Prewarm(known: known, took: .now - start)
    }

    /// Whether a version that did this may follow one that did `before`: it must not have forgotten most of what the
    /// other knew. (What is a little worse is for the rollout to find.)
    package func check(after before: Prewarm) throws(RolloutError) {
        guard took < Self.limit else {
            throw .prewarm(expected: "\(Self.questions) answers within \(Self.limit)", found: "\(took)")
        }
        guard before.known < 6 || known * 2 >= before.known else {
            throw .prewarm(
                expected: "at least half of the \(before.known) known answers that the live version gives", found: "\(known)")
        }
    }
}

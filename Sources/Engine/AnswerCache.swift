import Synchronization
import Tokenizer

/// Answers of one version to questions asked before: the same question has the same answer for as long as the version
/// lives. Bounded in bytes; in memory alone, and gone with the version.
///
/// Two generations: what is found in the older moves to the newer; when the newer is half of all, it becomes the older
/// and what was older is forgotten. So the least recently asked goes first, near enough, and every step takes constant
/// time.
final class AnswerCache: Sendable {
    /// What an answer depends on, and not who asks.
    private struct Key: Hashable {
        /// As bytes: to `String` texts are equal that Unicode calls equivalent, and their tokens and offsets are not.
        let text: [UInt8]
        let topK: Int
        let targets: [[UInt8]]?
        let temperature: Float?
        let folding: CaseFolding
        let candidates: Question.Candidates
        let precision: Precision
        let span: Span
        let joint: Bool

        init(_ question: Question) {
            (text, topK, targets) = (Array(question.text.utf8), question.topK, question.targets?.map { Array($0.utf8) })
            (temperature, folding) = (question.temperature, question.folding)
            (candidates, precision) = (question.candidates, question.precision)
            (span, joint) = (question.span, question.joint)
        }
    }

    private struct State {
        var newer: [Key: Answer] = [:]
        var older: [Key: Answer] = [:]
        var bytes = 0
        /// How often everything was forgotten.
        var era = 0
    }
    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: bytes, about; 0: nothing is kept.
    init(limit: Int) {
        self.limit = limit
    }

    func answer(to question: Question) -> Answer? {
        guard limit > 0 else { return nil }
        let key = Key(question)
        return state.withLock { state in
            if let answer = state.newer[key] { return answer }
            guard let answer = state.older.removeValue(forKey: key) else { return nil }
            keep(answer, key, &state)
            return answer
        }
    }

    /// What is true from now on is not what was kept (terms have changed).
    func forget() {
        state.withLock { $0 = State(era: $0.era + 1) }
    }

    /// To be read before an answer is begun.
    var era: Int { state.withLock { $0.era } }

    /// - Parameter era: in which the answer was begun; one of another era is not kept.
    func keep(_ answer: Answer, to question: Question, of era: Int) {
        guard limit > 0 else { return }
        state.withLock { state in
            if state.era == era { keep(answer, Key(question), &state) }
        }
    }

    private func keep(_ answer: Answer, _ key: Key, _ state: inout State) {
        let bytes = Self.bytes(key, answer)
        // One that would push out everything else is not worth it.
        guard bytes < limit / 8 else { return }
        if state.bytes + bytes > limit / 2 {
            (state.older, state.newer, state.bytes) = (state.newer, [:], 0)
        }
        if state.newer.updateValue(answer, forKey: key) == nil { state.bytes += bytes }
    }

    /// Dictionaries and array heads counted generously.
    private static func bytes(_ key: Key, _ answer: Answer) -> Int {
        let targets = key.targets ?? []
        let candidates = answer.blanks.reduce(0) { $0 + $1.candidates.count }
        return 400 + key.text.count + targets.reduce(0) { $0 + $1.count + 48 } + answer.tokens.count * 4
            + answer.blanks.count * 80 + candidates * 96 + (answer.joint ?? []).reduce(0) { $0 + $1.text.utf8.count * 2 + 200 }
    }
}

import Engine
import ModelFormat
import Synchronization
import TestSupport
import Testing

@Suite("questions in the background", .serialized)
struct BackgroundTests {
    /// What of an answer must not differ by a bit.
    private struct Bits: Equatable {
        let tokens: [Int32]
        let scores: [[UInt32]]
        let candidates: [[Int32]]

        init(_ answer: Answer) {
            tokens = answer.tokens
            scores = answer.blanks.map { $0.candidates.map(\.score.bitPattern) }
            candidates = answer.blanks.map { $0.candidates.map(\.token) }
        }
    }

    private static let long = "[MASK]" + String(repeating: "床前明月光疑是地上霜", count: 24)
    private static let texts = [
        "画龙点[MASK]", "[MASK][MASK][MASK]", "床前明月光，疑是地[MASK]霜。", long, "学而不思则[MASK]", "今天天气真[MASK]啊", "没有空", "温故而知[MASK]",
    ]
    private static let questions = (0..<24).map { Question(texts[$0 % texts.count], topK: 1 + $0 % 3 * 4) }

    private func fillMask(_ pool: WorkerPool, _ model: String = Places.defaultModel, sharing other: FillMask? = nil) throws -> FillMask {
        try FillMask(try ModelContents(huggingFace: model), pool: pool, sharing: other, cacheBytes: 0)
    }

    private func bits(_ outcomes: [Result<Answer, EngineError>]) -> [Result<Bits, EngineError>] { outcomes.map { $0.map(Bits.init) } }

    @Test("answers in the background are the live ones, bit for bit, and a bad question does not disturb the others", arguments: [1, 2, 3])
    func same(threads: Int) async throws {
        let pool = try WorkerPool(threads: threads)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let live = bits(await fillMask.answer(Self.questions))
        let background = bits(await fillMask.answer(Self.questions, inBackground: true))
        #expect(live == background)
        for (question, outcome) in zip(Self.questions, background) where question.text == "没有空" { #expect(outcome == .failure(.noBlank)) }
        #expect(background.filter { if case .success = $0 { true } else { false } }.count == 21)
    }

    @Test("they stay so while live questions come between their layers, and so do the live ones", arguments: [1, 2])
    func interleaved(threads: Int) async throws {
        let pool = try WorkerPool(threads: threads)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let expected = bits(await fillMask.answer(Self.questions))
        let single = Bits(try await fillMask.answer(Question("画龙点[MASK]")))
        let isOver = Flag()
        async let background = fillMask.answer(Self.questions, inBackground: true)
        let asking = Task {
            var asked = 0
            while !isOver.isSet {
                let answer = Bits(try await fillMask.answer(Question("画龙点[MASK]")))
                #expect(answer == single)
                asked += 1
            }
            return asked
        }
        #expect(bits(await background) == expected)
        isOver.set()
        #expect(try await asking.value > 0)
    }

    @Test("a live question is answered before a long batch in the background that began earlier")
    func order() async throws {
        let pool = try WorkerPool(threads: 1)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        _ = try await fillMask.answer(Question("画龙点[MASK]"))
        let isOver = Flag()
        let batch = Task {
            let outcomes = await fillMask.answer(Array(repeating: Question(Self.long), count: 24), inBackground: true)
            isOver.set()
            return outcomes
        }
        try await Task.sleep(for: .milliseconds(20))
        // In turn: each after the one before it was answered.
        for _ in 0..<5 {
            _ = try await fillMask.answer(Question("画龙点[MASK]"))
            #expect(!isOver.isSet)
        }
        #expect(await batch.value.allSatisfy { if case .success = $0 { true } else { false } })
    }

    @Test("questions that wait cannot keep the background from its end")
    func noStarvation() async throws {
        let pool = try WorkerPool(threads: 2, queue: 8)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let isOver = Flag()
        let asking = (0..<4).map { _ in
            Task { while !isOver.isSet { _ = try await fillMask.answer(Question("画龙点[MASK]")) } }
        }
        let outcomes = await fillMask.answer(Array(repeating: Question(Self.long), count: 4), inBackground: true)
        isOver.set()
        for task in asking { try await task.value }
        #expect(outcomes.count == 4)
    }

    @Test("it begins although the queue is never empty (was: not before it was)", .timeLimit(.minutes(1)))
    func neverEmpty() async throws {
        let pool = try WorkerPool(threads: 2)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let isOver = Flag()
        let asking = (0..<16).map { _ in
            Task { while !isOver.isSet { _ = try? await fillMask.answer(Question(Self.long)) } }
        }
        while pool.waiting < 8 { try await Task.sleep(for: .milliseconds(1)) }
        let outcomes = await fillMask.answer(Self.questions, inBackground: true)
        isOver.set()
        for task in asking { await task.value }
        #expect(outcomes.contains { if case .success = $0 { true } else { false } })
    }

    @Test("a bounded queue refuses live questions, never those in the background")
    func unbounded() async throws {
        let pool = try WorkerPool(threads: 1, queue: 1)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let batches = (0..<6).map { _ in Task { await fillMask.answer([Question("画龙点[MASK]"), Question(Self.long)], inBackground: true) } }
        for batch in batches { #expect(await batch.value.allSatisfy { if case .success = $0 { true } else { false } }) }
    }

    @Test("stopping the pool ends a batch that is paused and those behind it; nobody waits for ever", .timeLimit(.minutes(1)))
    func stop() async throws {
        let pool = try WorkerPool(threads: 2)
        let fillMask = try fillMask(pool)
        let asking = (0..<8).map { _ in
            Task { while true { do { _ = try await fillMask.answer(Question(Self.long)) } catch { return error as? EngineError } } }
        }
        let batches = (0..<3).map { _ in
            Task { await fillMask.answer(Array(repeating: Question(Self.long), count: 12), inBackground: true) }
        }
        try await Task.sleep(for: .milliseconds(100))
        pool.stop()
        for task in asking { #expect(await task.value == .stopped) }
        for batch in batches {
            let outcomes = await batch.value
            #expect(outcomes.count == 12)
            for outcome in outcomes { if case .failure(let error) = outcome { #expect(error == .stopped) } }
        }
        let last = await fillMask.answer([Question("画龙点[MASK]")], inBackground: true)
        #expect(bits(last) == [.failure(.stopped)])
    }

    @Test("a batch that is given up ends, and the next is answered")
    func cancellation() async throws {
        let pool = try WorkerPool(threads: 1)
        defer { pool.stop() }
        let fillMask = try fillMask(pool)
        let batch = Task { await fillMask.answer(Array(repeating: Question(Self.long), count: 40), inBackground: true) }
        try await Task.sleep(for: .milliseconds(20))
        batch.cancel()
        let outcomes = bits(await batch.value)
        #expect(outcomes.last == .failure(.cancelled))
        let next = await fillMask.answer([Question("画龙点[MASK]")], inBackground: true)
        #expect(bits(next) == [.success(Bits(try await fillMask.answer(Question("画龙点[MASK]"))))])
    }

    @Test("a shared tokenizer gives the same answers, and another vocabulary is not taken over")
    func sharing() async throws {
        let pool = try WorkerPool(threads: 1)
        defer { pool.stop() }
        let one = try fillMask(pool)
        let shared = try fillMask(pool, sharing: one)
        let questions = Self.questions + [Question("画龙点[MASK]", targets: ["睛", "石"]), Question("画龙点[MASK]", candidates: .pieces)]
        #expect(bits(await shared.answer(questions)) == bits(await one.answer(questions)))
        for name in ["tiny-capitals", "tiny-tied"] {
            let path = "\(Places.fixtures)/\(name)"
            let alone = try fillMask(pool, path)
            let beside = try fillMask(pool, path, sharing: one)
            let texts = ["[MASK]", "大家在[MASK]", "Tiankong 19[MASK]"].map { Question($0) }
            #expect(bits(await beside.answer(texts)) == bits(await alone.answer(texts)))
        }
        // The same pieces under other settings are another tokenizer.
        let capitals = try ModelContents(huggingFace: "\(Places.fixtures)/tiny-tied")
        let other = try ModelContents(
            shape: capitals.shape, tokenizer: .init(lower: false, accents: nil, cjk: true), pieces: capitals.pieces, tensors: capitals.tensors,
            calibration: nil, release: nil, epoch: 0)
        let plain = try FillMask(capitals, pool: pool)
        let text = [Question("C[MASK]")]
        #expect(bits(await (try FillMask(other, pool: pool, sharing: plain)).answer(text)) == bits(await (try FillMask(other, pool: pool)).answer(text)))
    }
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

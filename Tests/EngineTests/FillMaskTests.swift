import Engine
import ModelFormat
import TestSupport
import Testing
import Tokenizer

@Suite("a version answers questions")
struct FillMaskTests {
    private let pool: WorkerPool
    private let fillMask: FillMask

    init() throws {
        pool = try WorkerPool(threads: 2)
        fillMask = try FillMask(try ModelContents(huggingFace: Places.defaultModel), pool: pool)
    }

    @Test("the idiom's last character is found")
    func idiom() async throws {
        let answer = try await fillMask.answer(Question("画龙点[MASK]"))
        #expect(answer.blanks[0].candidates[0].text == "睛")
        #expect(answer.blanks[0].candidates.count == 5)
        #expect(answer.blanks[0].start == 3 && answer.blanks[0].end == 9)
    }

    @Test("offsets count Unicode scalars, also behind an emoji of several")
    func offsets() async throws {
        let answer = try await fillMask.answer(Question("👩‍💻说：画龙点[MASK]"))
        let scalars = Array("👩‍💻说：画龙点[MASK]".unicodeScalars)
        let blank = answer.blanks[0]
        #expect(String(String.UnicodeScalarView(scalars[blank.start..<blank.end])) == "[MASK]")
    }

    @Test("candidates for people hold no special and no ## pieces, and keep the reference's probabilities")
    func words() async throws {
        let words = try await fillMask.answer(Question("[MASK]", topK: 100)).blanks[0].candidates
        let pieces = try await fillMask.answer(Question("[MASK]", topK: 100, candidates: .pieces)).blanks[0].candidates
        let scores = Dictionary(uniqueKeysWithValues: pieces.map { ($0.token, $0.score) })
        for word in words {
            let piece = fillMask.tokenizer.vocabulary[Int(word.token)]
            #expect(!piece.hasPrefix("##") && !piece.hasPrefix("["))
            if let score = scores[word.token] { #expect(score == word.score) }
        }
    }

    @Test("all scores of a blank sum to 1")
    func sum() async throws {
        let everything = fillMask.contents.shape.vocabulary
        let answer = try await fillMask.answer(
            Question("今天天气真[MASK]啊", topK: everything, candidates: .pieces, precision: .exact))
        let sum = answer.blanks[0].candidates.reduce(0.0) { $0 + Double($1.score) }
        #expect(abs(sum - 1) < 1e-4)
    }

    @Test("scores fall with rank, for every temperature", arguments: [0.5, 1, 2] as [Float])
    func monotone(temperature: Float) async throws {
        let answer = try await fillMask.answer(Question("温故而知[MASK]", topK: 50, temperature: temperature))
        let scores = answer.blanks[0].candidates.map(\.score)
        #expect(zip(scores, scores.dropFirst()).allSatisfy { $0 >= $1 })
    }

    @Test("targets are scored as they are among all candidates, in any order")
    func targets() async throws {
        let open = try await fillMask.answer(Question("画龙点[MASK]", topK: 100)).blanks[0].candidates
        for targets in [["睛", "石", "凤"], ["凤", "睛", "石", "睛"]] {
            let scored = try await fillMask.answer(Question("画龙点[MASK]", targets: targets)).blanks[0].candidates
            #expect(scored.map(\.text) == open.filter { targets.contains($0.text) }.map(\.text))
            #expect(scored.map(\.score) == open.filter { targets.contains($0.text) }.map(\.score))
        }
    }

    @Test("a target of several pieces is refused and named")
    func severalPieces() async throws {
        await #expect {
            try await fillMask.answer(Question("订单一直没[MASK]", targets: ["到", "生效"]))
        } throws: { error in
            guard case EngineError.unknownTarget(1, "生效", let pieces) = error else { return false }
            return pieces == ["生", "效"]
        }
    }

    @Test("a text without a blank, with too many blanks, or beyond the positions is refused")
    func refusals() async throws {
        await #expect(throws: EngineError.noBlank) { try await fillMask.answer(Question("没有空")) }
        await #expect(throws: EngineError.tooManyBlanks(found: 60, limit: 32)) {
            try await fillMask.answer(Question(String(repeating: "[MASK]", count: 60)))
        }
        await #expect {
            try await fillMask.answer(Question("[MASK]" + String(repeating: "字", count: 511)))
        } throws: { error in
            guard case EngineError.text(.textTooLong(let tokens, let limit, _)) = error else { return false }
            return tokens == 514 && limit == 256
        }
    }

    @Test("a batch answers each question as if it were alone, and a bad one does not disturb its neighbours")
    func batch() async throws {
        let texts = ["画龙点[MASK]", "没有空", "床前明月光，疑是地[MASK]霜。", "[MASK][MASK][MASK]", "学而不思则[MASK]"]
        let together = await fillMask.answer(texts.map { Question($0) })
        for (text, outcome) in zip(texts, together) {
            switch outcome {
            case .success(let answer):
                let alone = try await fillMask.answer(Question(text))
                #expect(answer.blanks.map { $0.candidates.map(\.score) } == alone.blanks.map { $0.candidates.map(\.score) })
                #expect(answer.blanks.map { $0.candidates.map(\.text) } == alone.blanks.map { $0.candidates.map(\.text) })
            case .failure(let error): #expect(text == "没有空" && error == .noBlank)
            }
        }
    }
}

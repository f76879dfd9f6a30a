import Engine
import Glibc
import ModelFormat
import Testing
import Tokenizer

/// Models of so few pieces that every word can be looked at.
@Suite("words of several pieces")
struct SpanTests {
    private static let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "天", "地", "人", "和", "。", "a", "##b"]
    private static let words = 5..<9  // what search may find in a word of several: not 。 and ##b, and a is 10
    private let pool: WorkerPool

    init() throws { pool = try WorkerPool(threads: 2) }

    private func fillMask(calibration: String? = nil, sharpness: Float = 4, cacheBytes: Int = 0) throws -> FillMask {
        let contents = try ModelContents.random(
            hidden: 32, heads: 2, feedForward: 64, pieces: Self.names, calibration: calibration
        ) { name, values in
            // Random models are unsure of everything: the head's bias makes them sure of something.
            if name.hasSuffix("predictions.bias") { for index in values.indices { values[index] *= sharpness } }
        }
        return try FillMask(contents, pool: pool, cacheBytes: cacheBytes)
    }

    private func question(_ span: Span, topK: Int = 5, targets: [String]? = nil) -> Question {
        question("天地[MASK]人。", span, topK: topK, targets: targets)
    }

    private func question(_ text: String, _ span: Span, topK: Int = 5, targets: [String]? = nil) -> Question {
        Question(text, topK: topK, targets: targets, temperature: nil, precision: .exact, span: span)
    }

    /// Every word of `length` pieces.
    private func all(_ length: Int, of pieces: some Sequence<Int32>) -> [[Int32]] {
        (0..<length).reduce([[]]) { words, _ in words.flatMap { word in pieces.map { word + [$0] } } }
    }

    private func scores(_ fillMask: FillMask, _ question: Question, _ words: [[Int32]]) async throws -> [[Int32]: Float] {
        var question = question
        question.topK = words.count
        let answer = try await fillMask.fill(
            question, fillMask.encode(question), words: words.map { SpanSearch.Word(pieces: $0, isTarget: true) })
        return Dictionary(uniqueKeysWithValues: answer.blanks[0].candidates.map { ($0.tokens, $0.score) })
    }

    // MARK: - The definition

    /// scoring.md once more, straight from logits.
    private func defined(_ fillMask: FillMask, _ ids: (before: [Int32], after: [Int32]), _ word: [Int32], temperature: Double) async throws -> Double {
        func softmax(_ filled: [Int32?]) async throws -> [[Double]] {
            let masked = filled.map { $0 ?? 4 }
            let logits = try await fillMask.logits([ids.before + masked + ids.after])
            return logits.map { row in
                let scaled = row.map { Double($0) / temperature }, most = scaled.max()!
                let sum = scaled.reduce(0) { $0 + exp($1 - most) }
                return scaled.map { exp($0 - most) / sum }
            }
        }
        let first = try await softmax(word.map { _ in nil })
        let entropies = first.map { -$0.reduce(0) { $0 + ($1 > 0 ? $1 * log($1) : 0) } }
        let order = word.indices.sorted { (entropies[$0], $0) < (entropies[$1], $1) }
        var filled = [Int32?](repeating: nil, count: word.count)
        var probability = 1.0
        for place in order {
            // Logits come for the masks that are left, in their order.
            let left = word.indices.filter { filled[$0] == nil }
            let p = try await softmax(filled)
            probability *= p[left.firstIndex(of: place)!][Int(word[place])]
            filled[place] = word[place]
        }
        return probability
    }

    @Test("a word's score is the chain of softmaxes in the order of rising entropy", arguments: [1.0, 1.7])
    func chain(temperature: Double) async throws {
        let fillMask = try fillMask(calibration: #"{"temperature":\#(temperature)}"#)
        let encoding = try fillMask.encode(question(.auto))
        let blank = encoding.blanks[0]
        let context = (Array(encoding.ids[..<blank]), Array(encoding.ids[(blank + 1)...]))
        for word in [[5, 6], [8, 7, 5], [5, 5, 10, 6], [9, 11]] as [[Int32]] {
            let score = try #require(try await scores(fillMask, question(.pieces(word.count)), [word])[word])
            let expected = try await defined(fillMask, context, word, temperature: temperature)
            #expect(abs(Double(score) - expected) <= 1e-5 * expected + 1e-9, "\(word): \(score), expected \(expected)")
        }
    }

    @Test("the scores of all words of a length sum to 1, and so do those of all lengths together")
    func sums() async throws {
        let fillMask = try fillMask()
        let pieces = Int32(0)..<Int32(Self.names.count)
        for length in 1...3 {
            let sum = try await scores(fillMask, question(.pieces(length)), all(length, of: pieces)).values.reduce(0, +)
            #expect(abs(sum - 1) < 2e-5, "\(length): \(sum)")
        }
        // All of four lengths would be 22 620 words: those of three, and the share of the fourth by its complement.
        let short = try await scores(fillMask, question(.auto), (1...3).flatMap { all($0, of: pieces) })
        let shares = (1...3).map { length in short.filter { $0.key.count == length }.values.reduce(0, +) }
        let fourth = try await scores(fillMask, question(.auto), all(4, of: pieces)).values.reduce(0, +)
        #expect(abs(shares.reduce(0, +) + fourth - 1) < 5e-5, "\(shares), \(fourth)")
    }

    @Test("best-first search finds what looking at every word finds", arguments: [Span.pieces(1), .pieces(2), .pieces(3), .auto], [1, 3, 10])
    func exhaustive(span: Span, topK: Int) async throws {
        let fillMask = try fillMask()
        for text in ["天地[MASK]人。", "[MASK]和", "人人[MASK]"] {
            var question = question(text, span, topK: topK)
            question.limits = .init(expansions: .max)
            let found = try await fillMask.answer(question).blanks[0].candidates
            var every: [[Int32]: Float] = [:]
            let lengths = if case .pieces(let length) = span { length...length } else { 1...4 }
            for length in lengths {
                let speakable = length == 1 ? Array(Int32(5)..<11) : [5, 6, 7, 8, 10]
                // Through targets, which are always scored to the end.
                every.merge(try await scores(fillMask, question, all(length, of: speakable))) { one, _ in one }
            }
            let best = every.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key.lexicographicallyPrecedes($1.key) }.prefix(topK)
            #expect(found.map(\.tokens) == best.map(\.key), "\(text)")
            for (candidate, word) in zip(found, best) { #expect(abs(candidate.score - word.value) <= 1e-5 * word.value) }
            #expect(zip(found, found.dropFirst()).allSatisfy { $0.score >= $1.score })
        }
    }

    @Test("scores do not depend on the order of targets, on other targets, or on who asks at the same time", arguments: [Precision.exact, .fast])
    func independence(precision: Precision) async throws {
        let fillMask = try fillMask()
        let targets = ["天", "天地", "人和", "地人和", "天地人和", "a天"]
        var asked = question(.auto, topK: 10, targets: targets)
        asked.precision = precision
        let together = try await fillMask.answer(asked).blanks[0].candidates
        #expect(Set(together.map(\.text)) == Set(targets))
        asked.targets = targets.reversed() + ["天"]
        let turned = try await fillMask.answer(asked).blanks[0].candidates
        #expect(turned.map(\.tokens) == together.map(\.tokens) && turned.map(\.score) == together.map(\.score))
        let requests = (0..<12).map { number in
            var question = asked
            question.targets = [targets[number % targets.count]]
            return question
        }
        // A lone target of four pieces brings no longer length with it, so that lengths compete as before.
        let alone = try await withThrowingTaskGroup(of: Answer.Candidate.self) { group in
            for request in requests { group.addTask { try await fillMask.answer(request).blanks[0].candidates[0] } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        for candidate in alone { #expect(candidate.score == together.first { $0.tokens == candidate.tokens }?.score) }
    }

    @Test("span 1 is what it was, and several blanks are filled together beside it")
    func joint() async throws {
        let fillMask = try fillMask()
        var asked = question("天[MASK]，人[MASK]。", .one, topK: 3)
        let plain = try await fillMask.answer(asked)
        #expect(plain.joint == nil)
        asked.joint = true
        let both = try await fillMask.answer(asked)
        #expect(both.blanks.map { $0.candidates.map(\.score) } == plain.blanks.map { $0.candidates.map(\.score) })
        let joint = try #require(both.joint)
        #expect(joint.count == JointSearch.width && zip(joint, joint.dropFirst()).allSatisfy { $0.score >= $1.score })
        for filled in joint {
            #expect(filled.text == "天\(filled.fills[0])，人\(filled.fills[1])。")
            #expect(filled.score > 0 && filled.score < 1)
        }
        // More than four, or one: not together.
        #expect(try await fillMask.answer(question("天[MASK]", .one)).joint == nil)
        var many = question(String(repeating: "[MASK]天", count: 5), .one)
        many.joint = true
        #expect(try await fillMask.answer(many).joint == nil)
    }

    @Test("several blanks of several pieces: each by itself, the whole with the likeliest lengths")
    func severalWords() async throws {
        let fillMask = try fillMask()
        for span in [Span.pieces(2), .auto] {
            var asked = question("天[MASK]，人[MASK]。", span, topK: 4)
            asked.joint = true
            let answer = try await fillMask.answer(asked)
            #expect(answer.blanks.map(\.start) == [1, 9] && answer.blanks.map(\.end) == [7, 15])
            #expect(answer.blanks.allSatisfy { $0.candidates.count == 4 })
            for filled in try #require(answer.joint) {
                #expect(filled.text == "天\(filled.fills[0])，人\(filled.fills[1])。")
                if span == .pieces(2) { #expect(filled.fills.allSatisfy { $0.replacing(" ", with: "").count == 2 }) }
            }
        }
    }

    // MARK: - Calibration and terms

    @Test("the version's temperature counts where the question names none")
    func temperature() async throws {
        let plain = try fillMask(), warm = try fillMask(calibration: #"{"temperature":2.5}"#)
        let a = try await plain.answer(question(.one)).blanks[0].candidates
        let b = try await warm.answer(question(.one)).blanks[0].candidates
        #expect(a.map(\.tokens) == b.map(\.tokens))
        #expect(abs(log(b[0].score / b[4].score) * 2.5 / log(a[0].score / a[4].score) - 1) < 1e-3)
        var asked = question(.one)
        asked.temperature = 1
        #expect(try await warm.answer(asked).blanks[0].candidates.map(\.score) == a.map(\.score))
    }

    @Test("length weights move probability between lengths, and nothing within one")
    func lengthWeights() async throws {
        let plain = try fillMask(), long = try fillMask(calibration: #"{"length":{"a":1,"b":[0,0,0,3,0,0,0,0]}}"#)
        let words: [[Int32]] = [[5], [5, 6], [6, 7, 5], [5, 6, 7, 8], [8, 6, 7, 8]]
        let a = try await scores(plain, question(.auto), words), b = try await scores(long, question(.auto), words)
        #expect(b[words[3]]! > a[words[3]]! && b[words[0]]! < a[words[0]]!)
        #expect(abs(b[words[3]]! / b[words[4]]! - a[words[3]]! / a[words[4]]!) < 1e-3 * a[words[3]]! / a[words[4]]!)
    }

    @Test("a term rises by its weight, the others fall, and the sum stays at most 1")
    func terms() async throws {
        let fillMask = try fillMask()
        let asked = question(.auto, topK: 1000)
        let before = try await fillMask.answer(asked).blanks[0].candidates
        let low = before[before.count / 2].tokens
        let text = fillMask.tokenizer.word(of: low)
        fillMask.terms = TermTable([(text, 50), ("天地人和天地人和天地", nil), ("疑", nil)], tokenizer: fillMask.tokenizer)
        #expect(fillMask.terms.count == 1 && fillMask.terms.unknown == 2)
        let after = try await fillMask.answer(asked).blanks[0].candidates
        let old = try #require(before.first { $0.tokens == low }), new = try #require(after.first { $0.tokens == low })
        let expected = 50 * old.score / (1 + 49 * old.score)
        #expect(abs(new.score - expected) <= 1e-3 * expected)
        #expect(after.first { $0.tokens != low }!.score < before.first { $0.tokens != low }!.score)
        #expect(after.reduce(0) { $0 + $1.score } <= 1.0001)
        fillMask.terms = .none
        #expect(try await fillMask.answer(asked).blanks[0].candidates.map(\.score) == before.map(\.score))
    }

    @Test("a term that search would not come to is found, also one longer than what competes")
    func rareTerms() async throws {
        let fillMask = try fillMask(sharpness: 12)
        let asked = question(.auto, topK: 3)
        let before = try await fillMask.answer(asked).blanks[0].candidates
        let every = try await scores(fillMask, question(.pieces(3)), all(3, of: [5, 6, 7, 8]))
        let rare = every.min { ($0.value, $0.key.description) < ($1.value, $1.key.description) }!.key
        #expect(!before.contains { $0.tokens == rare })
        fillMask.terms = TermTable([(fillMask.tokenizer.word(of: rare), 1e12)], tokenizer: fillMask.tokenizer)
        #expect(try await fillMask.answer(asked).blanks[0].candidates[0].tokens == rare)
        fillMask.terms = TermTable([("天地人和天地", 1e30)], tokenizer: fillMask.tokenizer)
        #expect(try await fillMask.answer(asked).blanks[0].candidates[0].text == "天地人和天地")
    }

    @Test("an answer that was begun with other terms is not given again")
    func begunWithOtherTerms() async throws {
        let cached = try fillMask(cacheBytes: 1 << 20), plain = try fillMask()
        let asked = question(.auto, topK: 100)
        for round in 0..<100 {
            // A few rounds of search take some tenths of a millisecond: terms change at some moment of them.
            async let begun = cached.answer(asked)
            usleep(UInt32(round * 4))
            let terms = TermTable([("天地人", Double(2 + round))], tokenizer: plain.tokenizer)
            (cached.terms, plain.terms) = (terms, terms)
            _ = try await begun
            let again = try await cached.answer(asked).blanks[0].candidates
            let expected = try await plain.answer(asked).blanks[0].candidates
            #expect(again.map(\.score) == expected.map(\.score), "round \(round)")
        }
    }

    @Test("a length that is there for terms alone is nobody's length in a whole sentence")
    func jointBesideLongTerms() async throws {
        let fillMask = try fillMask(calibration: #"{"length":{"a":0,"b":[0,0,0,0,0,50,0,0]}}"#)
        fillMask.terms = TermTable([("天地人和天地", 2)], tokenizer: fillMask.tokenizer)
        var asked = question("天[MASK]，人[MASK]。", .auto)
        asked.joint = true
        let joint = try #require(try await fillMask.answer(asked).joint)
        #expect(joint.allSatisfy { $0.fills.allSatisfy { $0.count <= 4 } }, "\(joint.map(\.fills))")
    }

    // MARK: - Refusals

    @Test("a target of unknown pieces, of another length, or that does not fit is refused by name")
    func refused() async throws {
        let fillMask = try fillMask()
        await #expect(throws: EngineError.unknownPieces(index: 1, text: "天疑", pieces: ["天", "[UNK]"])) {
            try await fillMask.answer(question(.auto, targets: ["天", "天疑"]))
        }
        await #expect(throws: EngineError.targetLength(index: 0, text: "天地人", pieces: ["天", "地", "人"], expected: 2...2)) {
            try await fillMask.answer(question(.pieces(2), targets: ["天地人"]))
        }
        let long = String(repeating: "天", count: 9)
        await #expect(throws: EngineError.targetLength(index: 0, text: long, pieces: Array(repeating: "天", count: 9), expected: 1...8)) {
            try await fillMask.answer(question(.auto, targets: [long]))
        }
        let full = String(repeating: "天", count: 61) + "[MASK]"
        #expect(try await fillMask.answer(question(full, .one)).blanks.count == 1)
        await #expect(throws: EngineError.wordTooLong(tokens: 66, limit: 64)) { try await fillMask.answer(question(full, .pieces(3))) }
        #expect(try await fillMask.answer(question(full, .auto)).blanks[0].candidates.allSatisfy { $0.tokens.count == 1 })
    }
}

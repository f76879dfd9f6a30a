import Disk
import Engine
import ModelFormat
import TestSupport
import Testing
import Tokenizer

/// Sizes that fill no group, no tile and no thread's share evenly.
struct OddShape: Sendable, CustomTestStringConvertible {
    let hidden, heads, feedForward: Int
    var activation = Activation.gelu
    var tied = true
    var testDescription: String { "\(hidden), \(heads) heads, \(feedForward), \(activation.rawValue)\(tied ? "" : ", untied")" }
}

@Suite("the fast path at its edges", .serialized)
struct FastEdgeTests {
    private struct Bits: Equatable {
        let scores: [[UInt32]]
        let ids: [[Int32]]

        init(_ answer: Answer) {
            scores = answer.blanks.map { $0.candidates.map(\.score.bitPattern) }
            ids = answer.blanks.map { $0.candidates.map(\.token) }
        }
    }

    private func withPool<Value>(
        threads: Int = 2, queue: Int = 256, _ body: (WorkerPool) async throws -> Value
    ) async throws -> Value {
        let pool = try WorkerPool(threads: threads, queue: queue)
        defer { pool.stop() }
        return try await body(pool)
    }

    private func cosine(_ a: [Float], _ b: [Float]) -> Double {
        var (ab, aa, bb) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            ab += Double(x) * Double(y)
            aa += Double(x) * Double(x)
            bb += Double(y) * Double(y)
        }
        return ab / (aa * bb).squareRoot()
    }

    private static let sequences: [[Int32]] = {
        let lines = try! ReferenceLogits.all(in: Places.fixtures)
        return Array(lines.filter { $0.model == "tiny-tied" && $0.ids.count <= 64 }.map(\.ids).prefix(8))
    }()

    @Test("shapes that fill nothing evenly: near the exact path, and the same on any number of threads and beside others", arguments: [
        OddShape(hidden: 8, heads: 1, feedForward: 1), OddShape(hidden: 72, heads: 3, feedForward: 100),
        OddShape(hidden: 96, heads: 3, feedForward: 384), OddShape(hidden: 160, heads: 5, feedForward: 333, activation: .relu),
        OddShape(hidden: 120, heads: 4, feedForward: 577, activation: .geluTanh), OddShape(hidden: 192, heads: 12, feedForward: 192, tied: false),
        OddShape(hidden: 256, heads: 2, feedForward: 1000, tied: false),
    ])
    func shapes(shape: OddShape) async throws {
        let contents = try ModelContents.random(
            hidden: shape.hidden, heads: shape.heads, feedForward: shape.feedForward, activation: shape.activation, tied: shape.tied)
        var fast: [[[Float]]] = [], exact: [[[Float]]] = []
        for threads in 1...3 {
            try await withPool(threads: threads) { pool in
                let fillMask = try FillMask(contents, pool: pool, cacheBytes: 0)
                fast.append(try await fillMask.logits(Self.sequences, precision: .fast))
                exact.append(try await fillMask.logits(Self.sequences, precision: .exact))
                var alone: [[Float]] = []
                for ids in Self.sequences { alone += try await fillMask.logits([ids], precision: .fast) }
                #expect((alone == fast[0]) == true)
            }
        }
        #expect((fast[1] == fast[0] && fast[2] == fast[0]) == true)
        #expect((exact[1] == exact[0] && exact[2] == exact[0]) == true)
        for (a, b) in zip(fast[0], exact[0]) { #expect(cosine(a, b) >= 0.999, "\(cosine(a, b))") }
    }

    @Test("also where nothing is clear, scores and their order do not depend on how many are wanted")
    func unclear() async throws {
        let noise = (0..<20).map { "的[MASK]" + String(repeating: Character(Unicode.Scalar(0x4E00 + $0 * 977)!), count: 1 + $0) + "[MASK]" }
        let texts = noise + ["[MASK]", String(repeating: "[MASK]", count: FillMask.mostBlanks), "[MASK]。。。。", "?![MASK]", "ABC [MASK] xyz"]
        let flat = try ModelContents.random(hidden: 32, heads: 4, feedForward: 64) { name, values in
            // No piece is likelier than another by itself.
            if name == "cls.predictions.bias" { for index in values.indices { values[index] = 0 } }
        }
        for contents in [try ModelContents(huggingFace: Places.defaultModel), try ModelContents(huggingFace: "\(Places.fixtures)/tiny-tied"), flat] {
            try await withPool { pool in
                let fillMask = try FillMask(contents, pool: pool, cacheBytes: 0)
                for text in texts {
                    let all = Bits(try await fillMask.answer(Question(text, topK: 150)))
                    for topK in [1, 2, 5, 10, 40] {
                        let some = Bits(try await fillMask.answer(Question(text, topK: topK)))
                        #expect(some.ids == all.ids.map { Array($0.prefix(topK)) }, "\(contents.shape.hidden): \(text), \(topK)")
                        #expect(some.scores == all.scores.map { Array($0.prefix(topK)) }, "\(contents.shape.hidden): \(text), \(topK)")
                    }
                }
            }
        }
    }

    @Test("a question whose answer is not a number is told so, and those computed with it are answered as alone", arguments: Precision.allCases)
    func notFinite(precision: Precision) async throws {
        // Texts of more than ten tokens meet it.
        let contents = try ModelContents.random(hidden: 64, heads: 2, feedForward: 128) { name, values in
            if name.hasSuffix("position_embeddings.weight") { values[10 * 64 + 7] = .nan }
        }
        let texts = (0..<30).map { $0 % 3 == 1 ? "人[MASK]" + String(repeating: "大", count: 8 + $0) : "人\(String(repeating: "中", count: $0 % 5))[MASK]" }
        try await withPool { pool in
            let fillMask = try FillMask(contents, pool: pool, cacheBytes: 0)
            let questions = texts.map { Question($0, precision: precision) }
            var alone: [Bits?] = []
            for question in questions {
                do { alone.append(Bits(try await fillMask.answer(question))) } catch EngineError.notFinite { alone.append(nil) }
            }
            #expect(alone.map { $0 == nil } == texts.indices.map { $0 % 3 == 1 })
            try await withThrowingTaskGroup(of: (Int, Bits?).self) { group in
                for (index, question) in questions.enumerated() {
                    group.addTask {
                        do { return (index, Bits(try await fillMask.answer(question))) } catch EngineError.notFinite { return (index, nil) }
                    }
                }
                for try await (index, bits) in group { #expect(bits == alone[index], "\(texts[index])") }
            }
        }
    }

    @Test("several versions and both precisions on one pool at the same time are not taken for each other")
    func severalVersions() async throws {
        try await withPool { pool in
            let models = try [
                FillMask(try ModelContents(huggingFace: "\(Places.fixtures)/tiny-tied"), pool: pool, cacheBytes: 0),
                FillMask(try .random(hidden: 32, heads: 4, feedForward: 64), pool: pool, cacheBytes: 0),
                FillMask(try .random(hidden: 96, heads: 3, feedForward: 100, tied: false), pool: pool, cacheBytes: 0),
            ]
            let asked = (0..<120).map { index in
                (model: index % 3, question: Question("人[MASK]" + String(repeating: "大", count: index % 11), topK: 1 + index % 7, precision: index % 2 == 0 ? .fast : .exact, client: UInt64(index % 5)))
            }
            var alone: [Bits] = []
            for (model, question) in asked { alone.append(Bits(try await models[model].answer(question))) }
            try await withThrowingTaskGroup(of: (Int, Bits).self) { group in
                for (index, (model, question)) in asked.enumerated() {
                    group.addTask { (index, Bits(try await models[model].answer(question))) }
                }
                for try await (index, bits) in group { #expect(bits == alone[index]) }
            }
        }
    }

    @Test("questions of as many blanks as there may be are answered together as alone")
    func manyBlanks() async throws {
        try await withPool { pool in
            let fillMask = try FillMask(try ModelContents(huggingFace: Places.defaultModel), pool: pool, cacheBytes: 0)
            let questions = (0..<12).map { index in
                Question(String(repeating: "[MASK]", count: FillMask.mostBlanks - index % 3) + (index % 2 == 0 ? "。" : ""), topK: 1 + index)
            }
            var alone: [Bits] = []
            for question in questions { alone.append(Bits(try await fillMask.answer(question))) }
            try await withThrowingTaskGroup(of: (Int, Bits).self) { group in
                for (index, question) in questions.enumerated() { group.addTask { (index, Bits(try await fillMask.answer(question))) } }
                for try await (index, bits) in group { #expect(bits == alone[index], "\(index)") }
            }
            let together = await fillMask.answer(questions)
            #expect(try together.map { Bits(try $0.get()) } == alone)
        }
    }

    @Test("packed weights of more planes than there are is refused by name", arguments: [3, 4, 5, 8])
    func planes(count: Int) async throws {
        let contents = try ModelContents.random(hidden: 64, heads: 2, feedForward: 128)
        let matrices = PackedMatrix.all(of: contents)
        try await withPool { pool in
            for index in [0, matrices.count - 1] {
                var made = try matrices.map { (name: $0.tensor.name, bytes: try $0.packed() as SharedBytes) }
                let plane = made[index].bytes.count
                made[index].bytes = HeapBytes(count: count * plane) { bytes in bytes.initializeMemory(as: UInt8.self, repeating: 0) }
                let packed = PackedWeights(made)
                // A kernel has room for the pairs of two planes alone.
                #expect(throws: EngineError.packedMissing(made[index].name, expected: plane, found: count * plane)) {
                    try FillMask(contents, packed: packed, pool: pool)
                }
            }
        }
    }

    @Test("giving back the pages of exact weights changes no answer, while they are read and after")
    func lettingGo() async throws {
        try await withPool { pool in
            let fillMask = try FillMask(try ModelContents(huggingFace: Places.defaultModel), pool: pool, cacheBytes: 0)
            let questions = (0..<40).map { Question("[MASK]" + String(repeating: "春江潮水", count: $0 % 9), precision: $0 % 8 == 0 ? .exact : .fast) }
            var alone: [Bits] = []
            for question in questions { alone.append(Bits(try await fillMask.answer(question))) }
            for round in 0..<3 {
                try await withThrowingTaskGroup(of: (Int, Bits).self) { group in
                    for (index, question) in questions.enumerated() where round > 0 || question.precision == .fast {
                        group.addTask { (index, Bits(try await fillMask.answer(question))) }
                    }
                    for try await (index, bits) in group {
                        fillMask.letGoOfExactWeights()
                        #expect(bits == alone[index], "\(index)")
                    }
                }
            }
        }
    }

    @Test("a pool that stops while questions wait answers or refuses each of them", arguments: [1, 3])
    func stopping(threads: Int) async throws {
        let pool = try WorkerPool(threads: threads)
        let fillMask = try FillMask(try ModelContents(huggingFace: Places.defaultModel), pool: pool, cacheBytes: 0)
        let questions = (0..<60).map { index in
            Question("[MASK]" + String(repeating: "天地玄黄", count: index % 20), precision: index % 3 == 0 ? .exact : .fast, client: UInt64(index % 4))
        }
        var alone: [Bits] = []
        for question in questions { alone.append(Bits(try await fillMask.answer(question))) }
        let tasks = questions.map { question in Task { Bits(try await fillMask.answer(question)) } }
        while pool.waiting == 0 { await Task.yield() }
        pool.stop()
        for (index, task) in tasks.enumerated() {
            switch await task.result {
            case .success(let bits): #expect(bits == alone[index])
            case .failure(let error): #expect(error as? EngineError == .stopped)
            }
        }
    }
}

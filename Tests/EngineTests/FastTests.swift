import Disk
import Engine
import ModelFormat
import Synchronization
import TestSupport
import Testing
import Tokenizer

private final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func add() { count.add(1, ordering: .relaxed) }
}

@Suite("the fast path answers as the exact one does, near enough, and always the same", .serialized)
struct FastTests {
    private static let sentences = [
        "画龙点[MASK]", "守株待[MASK]", "亡羊补[MASK]", "井底之[MASK]", "掩耳盗[MASK]", "杯弓蛇[MASK]", "刻舟求[MASK]", "狐假虎[MASK]",
        "对牛弹[MASK]", "一箭双[MASK]", "床前明月[MASK]，疑是地上霜。", "举头望明月，低头思故[MASK]。", "春眠不觉[MASK]，处处闻啼鸟。",
        "白日依山[MASK]，黄河入海流。", "欲穷千里[MASK]，更上一层楼。", "锄禾日当[MASK]，汗滴禾下土。", "学而时习之，不亦说[MASK]？",
        "三人行，必有我[MASK]焉。", "己所不欲，勿施于[MASK]。", "知之为知之，不知为不[MASK]，是知也。", "温故而知新，可以为[MASK]矣。",
        "逝者如斯夫，不舍昼[MASK]。", "道可道，非常[MASK]。", "天下皆知美之为[MASK]，斯恶已。", "路漫漫其修远兮，吾将上下而求[MASK]。",
        "落霞与孤鹜齐飞，秋水共长天一[MASK]。", "先天下之忧而忧，后天下之乐而[MASK]。", "人生自古谁无[MASK]，留取丹心照汗青。",
        "今天天气真[MASK]。", "我们明天去[MASK]京出差。", "请把会议[MASK]要发给大家。", "这家餐厅的菜很好[MASK]。", "他每天早上六点起[MASK]。",
        "服务器已经重新启[MASK]了。", "请在下周一之前提[MASK]报告。", "医生建议他多喝[MASK]，多休息。", "手机没[MASK]了，借我充一下。",
        "外面下[MASK]了，记得带伞。", "中华人民共和[MASK]成立于一九四九年。", "Python是一种编程[MASK]言。",
    ]
    private static let long = "[MASK]" + String(repeating: "床前明月光疑是地上霜", count: 24)

    /// What of an answer must not differ by a bit.
    private struct Bits: Equatable {
        let tokens: [Int32]
        let places: [[Int]]
        let scores: [[UInt32]]
        let candidates: [[String]]
        let ids: [[Int32]]

        init(_ answer: Answer) {
            tokens = answer.tokens
            places = answer.blanks.map { [$0.start, $0.end, $0.position] }
            scores = answer.blanks.map { $0.candidates.map(\.score.bitPattern) }
            candidates = answer.blanks.map { $0.candidates.map(\.text) }
            ids = answer.blanks.map { $0.candidates.map(\.token) }
        }
    }

    private func fillMask(_ pool: WorkerPool, _ model: String = Places.defaultModel, cacheBytes: Int = 0) throws -> FillMask {
        try FillMask(try ModelContents(huggingFace: model), pool: pool, cacheBytes: cacheBytes)
    }

    private func withPool<Value>(
        threads: Int = 2, isa: ISA = .best, _ body: (WorkerPool) async throws -> Value
    ) async throws -> Value {
        let pool = try WorkerPool(threads: threads, isa: isa)
        defer { pool.stop() }
        return try await body(pool)
    }

    private func ids(_ fillMask: FillMask, _ texts: [String] = sentences) throws -> [[Int32]] {
        try texts.map { try fillMask.tokenizer.encode($0, folding: .auto, limit: fillMask.contents.shape.positions).ids }
    }

    private func cosine(_ a: [Float], _ b: [Float]) -> Double {
        var ab = 0.0, aa = 0.0, bb = 0.0
        for (x, y) in zip(a, b) {
            ab += Double(x) * Double(y)
            aa += Double(x) * Double(x)
            bb += Double(y) * Double(y)
        }
        return ab / (aa * bb).squareRoot()
    }

    /// The least of all sentences' and the mean.
    private func cosines(_ fast: [[Float]], _ exact: [[Float]]) -> (least: Double, mean: Double) {
        let all = zip(fast, exact).map(cosine)
        return (all.min() ?? 0, all.reduce(0, +) / Double(all.count))
    }

    private func bits(_ fillMask: FillMask, _ questions: [Question]) async throws -> [Bits] {
        var all: [Bits] = []
        for question in questions { all.append(Bits(try await fillMask.answer(question))) }
        return all
    }

    // MARK: - Near the exact path

    @Test("logits of the default model point the same way, and the best is the same where it is clear")
    func near() async throws {
        try await withPool { pool in
            let fillMask = try fillMask(pool)
            let sequences = try ids(fillMask)
            let exact = try await fillMask.logits(sequences, precision: .exact)
            let fast = try await fillMask.logits(sequences, precision: .fast)
            #expect(exact.count == Self.sentences.count && fast.count == exact.count)
            for (text, (a, b)) in zip(Self.sentences, zip(fast, exact)) {
                #expect(cosine(a, b) >= 0.999, "\(text): \(cosine(a, b))")
                let best = b.indices.max { b[$0] < b[$1] }!
                let second = b.indices.filter { $0 != best }.max { b[$0] < b[$1] }!
                if b[best] - b[second] > 0.2 { #expect(a.indices.max { a[$0] < a[$1] } == best, "\(text)") }
            }
        }
    }

    @Test("probabilities are within 0.02, of the default model and with every temperature", arguments: [0.5, 1, 2] as [Float])
    func probabilities(temperature: Float) async throws {
        try await withPool { pool in
            let fillMask = try fillMask(pool)
            for text in Self.sentences {
                var question = Question(text, topK: 10, temperature: temperature, precision: .exact)
                let exact = try await fillMask.answer(question).blanks[0].candidates
                question.precision = .fast
                question.topK = 100
                let fast = try await fillMask.answer(question).blanks[0].candidates
                for candidate in exact where candidate.score > 0.02 {
                    let other = fast.first { $0.token == candidate.token }
                    #expect(other != nil, "\(text): \(candidate.text)")
                    if let other { #expect(abs(other.score - candidate.score) <= 0.02, "\(text): \(candidate.text)") }
                }
            }
        }
    }

    @Test("all scores of a blank sum to 1, to what eight bits make of the rest")
    func sum() async throws {
        try await withPool { pool in
            let fillMask = try fillMask(pool)
            let everything = fillMask.contents.shape.vocabulary
            for text in Self.sentences.prefix(12) {
                let answer = try await fillMask.answer(Question(text, topK: everything, candidates: .pieces))
                #expect(answer.blanks[0].candidates.count == everything)
                let sum = answer.blanks[0].candidates.reduce(0.0) { $0 + Double($1.score) }
                #expect(abs(sum - 1) < 0.005, "\(text): \(sum)")
            }
        }
    }

    @Test("every instruction set is within 1e-3 of the scalar one")
    func instructionSets() async throws {
        let questions = Self.sentences.prefix(10).map { Question($0, topK: 20) }
        let scalar = try await withPool(isa: .scalar) { pool in
            let fillMask = try fillMask(pool)
            var all: [[Answer.Candidate]] = []
            for question in questions { all.append(try await fillMask.answer(question).blanks[0].candidates) }
            return all
        }
        for isa in ISA.allCases where isa.isAvailable && isa != .scalar {
            try await withPool(isa: isa) { pool in
                let fillMask = try fillMask(pool)
                for (question, expected) in zip(questions, scalar) {
                    var wide = question
                    wide.topK = 60
                    let found = try await fillMask.answer(wide).blanks[0].candidates
                    for candidate in expected {
                        let other = found.first { $0.token == candidate.token }
                        #expect(abs((other?.score ?? 0) - candidate.score) <= 1e-3, "\(isa.rawValue), \(question.text): \(candidate.text)")
                    }
                }
            }
        }
    }

    @Test("both paths are finite on every tiny model", arguments: Machine.all.filter { $0.threads < 3 })
    func tinyModels(machine: Machine) async throws {
        let pool = try machine.pool()
        defer { pool.stop() }
        for (model, lines) in Dictionary(grouping: try ReferenceLogits.all(in: Places.fixtures), by: \.model) {
            let fillMask = try fillMask(pool, "\(Places.fixtures)/\(model)")
            let sequences = lines.map(\.ids)
            let exact = try await fillMask.logits(sequences, precision: .exact)
            let fast = try await fillMask.logits(sequences, precision: .fast)
            #expect(exact.count == fast.count)
            for (a, b) in zip(fast, exact) {
                #expect(a.allSatisfy { $0.isFinite } && b.allSatisfy { $0.isFinite }, "\(model)")
                #expect(cosine(a, b) >= 0.999, "\(model): \(cosine(a, b))")
            }
        }
    }

    // MARK: - The same whatever is around it

    @Test("scores and their order do not depend on how many are wanted, nor on whether they are targets", arguments: Precision.allCases)
    func scores(precision: Precision) async throws {
        try await withPool { pool in
            let fillMask = try fillMask(pool)
            for text in Self.sentences {
                let open = try await fillMask.answer(Question(text, topK: 150, precision: precision)).blanks[0].candidates
                for topK in [1, 5, 16, 17, 32, 33, 100] {
                    let some = try await fillMask.answer(Question(text, topK: topK, precision: precision)).blanks[0].candidates
                    #expect(some.map(\.token) == open.prefix(topK).map(\.token), "\(text), \(topK)")
                    #expect(some.map(\.score.bitPattern) == open.prefix(topK).map(\.score.bitPattern), "\(text), \(topK)")
                }
                let wanted = [0, 3, 40, 120].map { open[$0] }
                let targets = try await fillMask.answer(
                    Question(text, topK: 10, targets: wanted.reversed().map(\.text), precision: precision)
                ).blanks[0].candidates
                #expect(targets.map(\.text) == wanted.map(\.text), "\(text)")
                #expect(targets.map(\.score.bitPattern) == wanted.map(\.score.bitPattern), "\(text)")
            }
        }
    }

    private static let mixed: [Question] = (sentences + ["[MASK][MASK][MASK]", long, "[MASK]"]).enumerated().map { index, text in
        switch index % 5 {
        case 0: Question(text, topK: 3)
        case 1: Question(text, topK: 40, temperature: 2)
        case 2: Question(text, precision: .exact)
        case 3: Question(text, targets: ["人", "天", "水"])
        default: Question(text, candidates: .pieces)
        }
    }

    @Test("companions change nothing, in one call and in many at once", arguments: [1, 2])
    func companions(threads: Int) async throws {
        try await withPool(threads: threads) { pool in
            let questions = Self.mixed + Self.sentences.map { Question($0) } + Self.mixed
            let alone = try await bits(try fillMask(pool), questions)
            let together = await (try fillMask(pool)).answer(questions)
            for (index, outcome) in together.enumerated() {
                #expect(Bits(try outcome.get()) == alone[index], "\(questions[index].text)")
            }
            let crowded = try fillMask(pool)
            for _ in 0..<3 {
                try await withThrowingTaskGroup(of: (Int, Bits).self) { group in
                    for (index, question) in questions.prefix(40).enumerated() {
                        var question = question
                        question.client = UInt64(index % 7)
                        group.addTask { [question] in (index, Bits(try await crowded.answer(question))) }
                    }
                    for try await (index, bits) in group { #expect(bits == alone[index], "\(questions[index].text)") }
                }
            }
        }
    }

    @Test("the number of threads changes nothing")
    func threads() async throws {
        var answers: [[Bits]] = []
        for threads in 1...3 {
            answers.append(try await withPool(threads: threads) { pool in try await bits(try fillMask(pool), Self.mixed) })
        }
        #expect(answers[1] == answers[0])
        #expect(answers[2] == answers[0])
    }

    // MARK: - Models made for it

    private func floats(_ tensor: StoredTensor) -> [Float] {
        tensor.withBytes { bytes in
            (0..<tensor.count).map { index in
                switch tensor.dtype {
                case .f32: bytes.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
                case .f16: Float(bytes.loadUnaligned(fromByteOffset: 2 * index, as: Float16.self))
                case .bf16: Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
                }
            }
        }
    }

    private func contents(_ other: ModelContents, changing tensors: [StoredTensor]) throws -> ModelContents {
        let changed = Set(tensors.map(\.name))
        return try ModelContents(
            shape: other.shape, tokenizer: other.tokenizer, pieces: other.pieces,
            tensors: other.tensors.filter { !changed.contains($0.name) } + tensors, calibration: nil, release: nil, epoch: 0)
    }

    /// Three channels of a LayerNorm fifty times as large, and what reads them next as much smaller.
    private func outliers(_ other: ModelContents, norm: String, readers: [String]) throws -> ModelContents {
        let channels = [3, 100, other.shape.hidden - 1]
        var changed: [StoredTensor] = []
        for name in [norm + ".weight", norm + ".bias"] {
            var values = floats(other[name]!)
            for channel in channels { values[channel] *= 50 }
            changed.append(try StoredTensor(name, other[name]!.shape, values))
        }
        for name in readers {
            let shape = other[name]!.shape
            var values = floats(other[name]!)
            for row in 0..<shape[0] { for channel in channels { values[row * shape[1] + channel] /= 50 } }
            changed.append(try StoredTensor(name, shape, values))
        }
        return try contents(other, changing: changed)
    }

    @Test("a few channels that are fifty times as large do not drown the others", arguments: 0..<3)
    func outliers(which: Int) async throws {
        let plain = try ModelContents(huggingFace: Places.defaultModel)
        let parts = ["query", "key", "value"]
        let spoiled = try [
            { try outliers(plain, norm: "bert.embeddings.LayerNorm", readers: parts.map { "bert.encoder.layer.0.attention.self.\($0).weight" }) },
            { try outliers(plain, norm: "bert.encoder.layer.1.output.LayerNorm", readers: parts.map { "bert.encoder.layer.2.attention.self.\($0).weight" }) },
            { try outliers(plain, norm: "bert.encoder.layer.2.attention.output.LayerNorm", readers: ["bert.encoder.layer.2.intermediate.dense.weight"]) },
        ][which]()
        try await withPool { pool in
            let fillMask = try FillMask(spoiled, pool: pool, cacheBytes: 0)
            let sequences = try ids(fillMask)
            let found = cosines(try await fillMask.logits(sequences, precision: .fast), try await fillMask.logits(sequences))
            #expect(found.least >= 0.998, "\(found)")
        }
    }

    @Test("a large model, in eight bits alone: near the exact path, and the same beside others and on any number of threads")
    func largeModel() async throws {
        // Too large for sixteen bits.
        let contents = try ModelContents.random(layers: 3, hidden: 768, heads: 12, feedForward: 3072)
        let sequences = try withExtendedLifetime(contents) { () -> [[Int32]] in
            let lines = try ReferenceLogits.all(in: Places.fixtures).filter { $0.model == "tiny-tied" && $0.ids.count <= 64 }
            return Array(lines.map(\.ids).prefix(6))
        }
        #expect(sequences.count == 6)
        let packed = PackedWeights(try PackedMatrix.all(of: contents).map { ($0.tensor.name, try $0.packed()) })
        var all: [[[Float]]] = []
        for threads in 1...3 {
            try await withPool(threads: threads) { pool in
                let fillMask = try FillMask(contents, packed: packed, pool: pool, cacheBytes: 0)
                let fast = try await fillMask.logits(sequences, precision: .fast)
                all.append(fast)
                var alone: [[Float]] = []
                for ids in sequences { alone += try await fillMask.logits([ids], precision: .fast) }
                #expect(alone == fast)
                if threads == 2 {
                    let found = cosines(fast, try await fillMask.logits(sequences))
                    #expect(found.least >= 0.99, "\(found)")
                }
            }
        }
        #expect(all[1] == all[0] && all[2] == all[0])
    }

    @Test("weights that training has changed get two planes, and the answer comes closer for it")
    func planes() async throws {
        let contents = try ModelContents(huggingFace: Places.defaultModel)
        let matrices = PackedMatrix.all(of: contents, learned: Set(contents.tensors.map(\.name)))
        #expect(matrices.filter { $0.planes == 2 }.count == 6 * contents.shape.layers)
        let packed = try await PackedMatrix.pack(matrices)
        try await withPool { pool in
            let one = try FillMask(contents, pool: pool, cacheBytes: 0)
            let two = try FillMask(contents, packed: packed, pool: pool, cacheBytes: 0)
            let sequences = try ids(one)
            let exact = try await one.logits(sequences)
            let (a, b) = (
                cosines(try await one.logits(sequences, precision: .fast), exact),
                cosines(try await two.logits(sequences, precision: .fast), exact)
            )
            #expect(b.mean > a.mean && b.least >= 0.9995, "\(a), \(b)")
            #expect(try await two.logits(sequences) == exact)
        }
    }

    @Test("packed weights that are missing or cut short are refused by name")
    func missing() async throws {
        let contents = try ModelContents(huggingFace: Places.defaultModel)
        let matrices = PackedMatrix.all(of: contents)
        let made = try matrices.map { (name: $0.tensor.name, bytes: try $0.packed() as SharedBytes) }
        try await withPool { pool in
            for index in [0, 7, matrices.count - 1] {
                let (name, expected) = (matrices[index].tensor.name, matrices[index].byteCount)
                var some = made
                some.remove(at: index)
                #expect(throws: EngineError.packedMissing(name, expected: expected, found: 0)) {
                    try FillMask(contents, packed: PackedWeights(some), pool: pool)
                }
                some.append((name, HeapBytes(count: expected - 64) { _ in }))
                #expect(throws: EngineError.packedMissing(name, expected: expected, found: expected - 64)) {
                    try FillMask(contents, packed: PackedWeights(some), pool: pool)
                }
            }
            _ = try FillMask(contents, packed: PackedWeights(made), pool: pool)
        }
    }

    // MARK: - The cache

    @Test("the same question has the same answer when it comes again, cached or not", arguments: [0, 4096, 4 << 20])
    func cache(bytes: Int) async throws {
        try await withPool { pool in
            let fillMask = try fillMask(pool, cacheBytes: bytes)
            let questions = Self.mixed
            let first = try await bits(fillMask, questions)
            #expect(try await bits(fillMask, questions) == first)
            let together = await fillMask.answer(questions)
            #expect(try together.map { Bits(try $0.get()) } == first)
            #expect(try await bits(try self.fillMask(pool), questions) == first)
        }
    }

    @Test("questions that differ in anything but who asks are not taken for each other")
    func cacheKeys() async throws {
        try await withPool { pool in
            let (cached, plain) = (try fillMask(pool, cacheBytes: 4 << 20), try fillMask(pool))
            let text = "画龙点[MASK]，COVID"
            let questions = [
                Question(text), Question(text, topK: 6), Question(text, targets: ["睛"]), Question(text, targets: ["睛", "人"]),
                Question(text, temperature: 2), Question(text, folding: .never), Question(text, candidates: .pieces),
                Question(text, precision: .exact), Question(text + " "), Question(text, client: 9),
            ]
            for _ in 0..<2 {
                for question in questions {
                    #expect(Bits(try await cached.answer(question)) == Bits(try await plain.answer(question)))
                }
            }
        }
    }

    @Test("texts that Unicode calls equivalent are different questions: their offsets and tokens differ")
    func equivalentTexts() async throws {
        try await withPool { pool in
            let (cached, plain) = (try fillMask(pool, cacheBytes: 4 << 20), try fillMask(pool))
            for (one, other) in [("caf\u{E9}好[MASK]", "cafe\u{301}好[MASK]"), ("\u{8C48}不好[MASK]", "\u{F900}不好[MASK]")] {
                for text in [one, other] {
                    let question = Question(text, folding: .never)
                    let (found, expected) = (Bits(try await cached.answer(question)), Bits(try await plain.answer(question)))
                    #expect(found == expected, "\(text.unicodeScalars.map { String($0.value, radix: 16) })")
                }
            }
        }
    }

    @Test("a vocabulary whose pieces Unicode calls equivalent is another one, and its tokenizer is not shared")
    func equivalentPieces() async throws {
        let plain = try ModelContents(huggingFace: "\(Places.fixtures)/tiny-tied")
        func contents(_ piece: String) throws -> ModelContents {
            var pieces = plain.pieces
            pieces[100] = piece
            return try ModelContents(
                shape: plain.shape, tokenizer: .init(lower: false, accents: false, cjk: true), pieces: pieces, tensors: plain.tensors,
                calibration: nil, release: nil, epoch: 0)
        }
        try await withPool { pool in
            let one = try FillMask(try contents("\u{E9}"), pool: pool, cacheBytes: 0)
            let other = try contents("e\u{301}")
            let (beside, alone) = (try FillMask(other, pool: pool, sharing: one, cacheBytes: 0), try FillMask(other, pool: pool, cacheBytes: 0))
            let question = Question("\u{E9}[MASK]", folding: .never)
            #expect(Bits(try await beside.answer(question)) == Bits(try await alone.answer(question)))
        }
    }

    // MARK: - The queue

    @Test("who asks one question does not wait for another's sixty")
    func fairness() async throws {
        try await withPool(threads: 1) { pool in
            let fillMask = try fillMask(pool)
            let answered = Counter()
            let crowd = (0..<60).map { _ in Question(Self.long, precision: .exact, client: 1) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for question in crowd {
                    group.addTask {
                        _ = try await fillMask.answer(question)
                        answered.add()
                    }
                }
                while pool.waiting < 50, answered.value < 5 { await Task.yield() }
                _ = try await fillMask.answer(Question("画龙点[MASK]", client: 2))
                #expect(answered.value <= 20)
                try await group.waitForAll()
            }
            #expect(answered.value == 60)
        }
    }

    @Test("cancelling some of those that wait does not disturb the others")
    func cancelling() async throws {
        try await withPool(threads: 1) { pool in
            let fillMask = try fillMask(pool)
            let questions = (0..<45).map { index in
                var question = index % 4 == 0 ? Question(Self.long) : Self.mixed[index % Self.mixed.count]
                question.client = UInt64(index % 3)
                return question
            }
            let alone = try await bits(fillMask, questions)
            let tasks = questions.map { question in Task { Bits(try await fillMask.answer(question)) } }
            for index in stride(from: 0, to: tasks.count, by: 3) { tasks[index].cancel() }
            for (index, task) in tasks.enumerated() {
                switch await task.result {
                case .success(let found): #expect(found == alone[index], "\(questions[index].text)")
                case .failure(let error): #expect(error as? EngineError == .cancelled && index % 3 == 0)
                }
            }
            #expect(pool.waiting == 0)
            #expect(try await bits(fillMask, Array(questions.prefix(5))) == Array(alone.prefix(5)))
        }
    }
}

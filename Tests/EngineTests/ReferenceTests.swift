import Engine
import ModelFormat
import StrictJSON
import TestSupport
import Testing
import Tokenizer

@Suite("the exact path answers as the reference does", .serialized)
struct ReferenceTests {
    @Test("logits of our own tiny models match, on every ISA and number of threads", arguments: Machine.all)
    func fixtures(machine: Machine) async throws {
        try await check(folder: Places.fixtures, machine)
    }

    @Test(
        "logits of the golden models match, on every ISA and number of threads",
        .enabled(if: Places.golden != nil, "TIANKONG_GOLDEN is not set"), arguments: Machine.all)
    func golden(machine: Machine) async throws {
        try await check(folder: Places.golden!, machine)
    }

    private func check(folder: String, _ machine: Machine) async throws {
        let pool = try machine.pool()
        defer { pool.stop() }
        let references = try ReferenceLogits.all(in: folder)
        #expect(!references.isEmpty)
        for (model, lines) in Dictionary(grouping: references, by: \.model) {
            let fillMask = try FillMask(try ModelContents(huggingFace: "\(folder)/\(model)"), pool: pool)
            for line in lines {
                let logits = try await fillMask.logits([line.ids])
                #expect(logits.count == line.blanks.count)
                #expect(line.worst(logits) <= 1, "\(model): \(line.text)")
            }
            try await checkMixedBatch(lines, fillMask)
        }
    }

    /// All lines of a model in ragged batches: the same numbers, bit for bit, whatever the batch-mates.
    private func checkMixedBatch(_ lines: [ReferenceLogits], _ fillMask: FillMask) async throws {
        for group in stride(from: 0, to: lines.count, by: 7).map({ Array(lines[$0..<min($0 + 7, lines.count)]) }) {
            let together = try await fillMask.logits(group.map(\.ids))
            var alone: [[Float]] = []
            for line in group { alone += try await fillMask.logits([line.ids]) }
            #expect(together == alone)
        }
    }

    @Test("our own sentences get the reference's answers from the default model", arguments: Machine.all.filter { $0.threads == 2 })
    func defaultModel(machine: Machine) async throws {
        try await checkAnswers(Places.fixtures + "/fill.jsonl", of: Places.defaultModel, machine)
    }

    @Test(
        "the golden sentences get the reference's answers from the model that they belong to",
        .enabled(if: Places.goldenModel != nil, "TIANKONG_GOLDEN is not set, or no models/mini stands beside it"),
        arguments: Machine.all.filter { $0.threads == 2 })
    func goldenModel(machine: Machine) async throws {
        try await checkAnswers(Places.golden! + "/mini.jsonl", of: Places.goldenModel!, machine)
    }

    /// `{"text","ids","blanks":[{"position","top":[[id,piece,probability]…]}]}`
    private func checkAnswers(_ path: String, of model: String, _ machine: Machine) async throws {
        let pool = try machine.pool()
        defer { pool.stop() }
        let fillMask = try FillMask(try ModelContents(huggingFace: model), pool: pool)
        let lines = try objects(in: path)
        #expect(!lines.isEmpty)
        for line in lines {
            let question = Question(line["text"]!.string!, topK: 10, folding: .never, candidates: .pieces, precision: .exact)
            let answer = try await fillMask.answer(question)
            #expect(answer.tokens.map(Int.init) == line["ids"]!.elements!.map { $0.integer! })
            for (blank, reference) in zip(answer.blanks, line["blanks"]!.elements!) {
                let top = reference["top"]!.elements!
                #expect(blank.position == reference["position"]!.integer!)
                #expect(
                    blank.candidates.prefix(5).map { Int($0.token) } == top.prefix(5).map { $0.elements![0].integer! },
                    "\(line["text"]!.string!)")
                for (candidate, expected) in zip(blank.candidates, top) {
                    #expect(abs(Double(candidate.score) - expected.elements![2].real!) <= 1e-4)
                }
            }
        }
    }
}

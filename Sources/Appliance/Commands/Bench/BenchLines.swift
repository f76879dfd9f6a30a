import ModelFormat
import Engine
import StrictJSON
import Tokenizer

/// Measurements asked for line by line, so that a script can take turns between this and other runtimes.
///
///     {"batch", "tokens", "runs", "seconds", "warm_seconds"}  ->  {"ms": […]}
///     {"ids": [[…], …]}, one [MASK] in each                   ->  {"logits": [[…], …]}
struct BenchLines {
    let fillMask: FillMask
    let precision: Precision

    func serve() async throws {
        put(#"{"ready":true,"precision":"\#(precision.rawValue)","isa":"\#(fillMask.pool.isa.rawValue)"}"#)
        var lines = Lines()
        while let line = lines.next() {
            let request: JSON
            do { request = try JSON(parsing: line) } catch { throw Problem(.invalidJSON, error) }
            put(try await answer(request).serialized)
        }
    }

    private func answer(_ request: JSON) async throws -> JSON {
        if request["ids"] != nil { return try await logits(request) }
        let fields = try Fields(request, known: ["batch", "tokens", "runs", "seconds", "warm_seconds"])
        let sequences = BenchInput.sequences(
            try fields.integer("batch", in: 1...256) ?? 1,
            tokens: try fields.integer("tokens", in: 3...fillMask.contents.shape.positions) ?? 16,
            for: fillMask)
        let times = try await BenchRow.time(
            fillMask, sequences, precision, runs: try fields.integer("runs", in: 1...100_000) ?? 40,
            seconds: try fields.positive("seconds", atMost: 600) ?? 1, warm: try fields.positive("warm_seconds", atMost: 60) ?? 0.15)
        return ["ms": .array(times.map { .real($0) })]
    }

    private func logits(_ request: JSON) async throws -> JSON {
        let fields = try Fields(request, known: ["ids"])
        let shape = fillMask.contents.shape
        guard let rows = request["ids"]?.elements, !rows.isEmpty else { throw fields.wrong("ids", "a list of lists", request["ids"] ?? .null) }
        let mask = Int(fillMask.tokenizer.vocabulary.mask)
        let sequences = try rows.map { row in
            let ids = row.elements?.compactMap(\.integer) ?? []
            guard ids.count == row.elements?.count, (1...shape.positions).contains(ids.count), ids.contains(mask),
                ids.allSatisfy({ (0..<shape.vocabulary).contains($0) })
            else { throw fields.wrong("ids", "1 to \(shape.positions) ids of the vocabulary with a [MASK] among them", row) }
            return ids.map { Int32($0) }
        }
        let logits = try await fillMask.logits(sequences, precision: precision)
        return ["logits": .array(logits.map { row in JSON.array(row.map { JSON.real(Double($0)) }) })]
    }
}

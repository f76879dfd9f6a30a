import ModelFormat
import StrictJSON
import TestSupport

import Engine
import Testing

/// One line of a `logits.jsonl`: what the reference implementation computed at each blank.
struct ReferenceLogits: Sendable {
    struct Blank: Sendable {
        let position: Int
        /// Largest first.
        let top: [(id: Int, logit: Double)]
        /// Pieces picked at random.
        let probe: [(id: Int, logit: Double)]
        let logSum: Double
    }

    let model: String
    let text: String
    let ids: [Int32]
    let blanks: [Blank]

    init(_ json: JSON) {
        func pairs(_ json: JSON?) -> [(Int, Double)] {
            (json?.elements ?? []).map { ($0.elements![0].integer!, $0.elements![1].real!) }
        }
        model = json["model"]!.string!
        text = json["text"]!.string!
        ids = json["ids"]!.elements!.map { Int32($0.integer!) }
        blanks = json["blanks"]!.elements!.map {
            Blank(
                position: $0["position"]!.integer!, top: pairs($0["top"]), probe: pairs($0["probe"]),
                logSum: $0["logsumexp"]!.real!)
        }
    }

    static func all(in folder: String) throws -> [ReferenceLogits] {
        try objects(in: folder + "/logits.jsonl").map(ReferenceLogits.init)
    }

    /// The largest difference to the reference, as a share of what is allowed: 1e-4 + 1e-4 · |logit|.
    func worst(_ logits: [[Float]]) -> Double {
        var worst = 0.0
        for (blank, row) in zip(blanks, logits) {
            for (id, logit) in blank.top + blank.probe {
                let allowed = 1e-4 + 1e-4 * abs(logit)
                worst = max(worst, abs(Double(row[id]) - logit) / allowed)
            }
        }
        return worst
    }
}

/// Every way this machine can compute.
struct Machine: Sendable, CustomTestStringConvertible {
    let isa: ISA
    let threads: Int

    var testDescription: String { "\(isa.rawValue), \(threads) threads" }

    static let all: [Machine] = ISA.allCases.filter(\.isAvailable).flatMap { isa in
        [1, 2, 3].map { Machine(isa: isa, threads: $0) }
    }

    func pool(queue: Int = 256) throws -> WorkerPool { try WorkerPool(threads: threads, queue: queue, isa: isa) }
}

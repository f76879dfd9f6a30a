import ModelFormat
import Engine
import Explain

/// The fast path beside the exact one, before anything is timed: what is fast and wrong is not fast.
struct BenchCheck {
    let fillMask: FillMask

    /// Below, something is broken rather than rounded.
    static let leastCosine = 0.998

    func run() async throws {
        for tokens in [5, 16, 33, 128] where tokens <= fillMask.contents.shape.positions {
            let sequences = BenchInput.sequences(2, tokens: tokens, for: fillMask, seed: 7)
            let exact = try await fillMask.logits(sequences, precision: .exact)
            let fast = try await fillMask.logits(sequences, precision: .fast)
            for (exact, fast) in zip(exact, fast) {
                let cosine = Self.cosine(exact, fast)
                guard cosine >= Self.leastCosine else { throw BenchError.disagrees(tokens: tokens, cosine: cosine) }
            }
        }
    }

    static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        var (dot, one, other) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            dot += Double(x) * Double(y)
            one += Double(x) * Double(x)
            other += Double(y) * Double(y)
        }
        return dot / (one * other).squareRoot()
    }
}

enum BenchError: Explained {
    case disagrees(tokens: Int, cosine: Double)

    var message: Bilingual {
        switch self {
        case .disagrees(let tokens, let cosine):
            Bilingual(
                "fast path at \(tokens) tokens: expected logits of a cosine of \(BenchCheck.leastCosine) or more with the exact path's, found \(cosine)",
                zh: "快速路径（\(tokens) 词元）：与精确路径 logits 的余弦应不小于 \(BenchCheck.leastCosine)，实为 \(cosine)")
        }
    }
}

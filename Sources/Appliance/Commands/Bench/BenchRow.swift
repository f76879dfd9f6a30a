import ModelFormat
import Engine
import Evaluation
import Explain
import StrictJSON
import Tokenizer

/// Questions of random tokens, each with one blank.
enum BenchInput {
    static func sequences(_ count: Int, tokens: Int, for fillMask: FillMask, seed: UInt64 = 1) -> [[Int32]] {
        var random = SplitMix64(seed: seed &+ UInt64(count * 1000 + tokens))
        let vocabulary = fillMask.tokenizer.vocabulary
        let special = [vocabulary.mask, vocabulary.start, vocabulary.end]
        return (0..<count).map { _ in
            var ids = (0..<tokens).map { _ in
                let id = Int32.random(in: 0..<Int32(fillMask.contents.shape.vocabulary), using: &random)
                return special.contains(id) ? vocabulary.unknown : id
            }
            (ids[0], ids[tokens - 1]) = (vocabulary.start, vocabulary.end)
            ids[Int.random(in: 1..<tokens - 1, using: &random)] = vocabulary.mask
            return ids
        }
    }
}

/// One shape, timed.
struct BenchRow {
    let tokens, batch, threads: Int
    let precision: Precision
    let isa: ISA
    let milliseconds: [Double]
    /// What the machine needs at best, in milliseconds.
    let limit: Double

    init(fillMask: FillMask, tokens: Int, batch: Int, precision: Precision, peaks: Peaks) async throws {
        (self.tokens, self.batch, self.precision) = (tokens, batch, precision)
        (threads, isa) = (fillMask.pool.threads, fillMask.pool.isa)
        let sequences = BenchInput.sequences(batch, tokens: tokens, for: fillMask)
        milliseconds = try await Self.time(fillMask, sequences, precision, runs: 200, seconds: 2, warm: 0.2).sorted()
        let (weights, attention) = fillMask.operations(sequences.map(\.count))
        let arithmetic = weights / (precision == .fast ? peaks.dots : peaks.multiplyAdds)
        limit = (max(arithmetic, fillMask.bytesRead(precision) / peaks.reading) + attention / peaks.multiplyAdds) * 1e-6
    }

    /// At least three passes, at most `runs`, until `seconds` are over.
    static func time(
        _ fillMask: FillMask, _ sequences: [[Int32]], _ precision: Precision, runs: Int, seconds: Double, warm: Double
    ) async throws -> [Double] {
        let start = ContinuousClock.now
        repeat { _ = try await fillMask.timePass(sequences, precision: precision) } while ContinuousClock.now - start < .seconds(warm)
        let begin = ContinuousClock.now
        var times: [Double] = []
        while times.count < 3 || (times.count < runs && ContinuousClock.now - begin < .seconds(seconds)) {
            times.append(try await fillMask.timePass(sequences, precision: precision) / .milliseconds(1))
        }
        return times
    }

    private func quantile(_ share: Double) -> Double { milliseconds[min(milliseconds.count - 1, Int(share * Double(milliseconds.count)))] }
    private var median: Double { quantile(0.5) }
    private var tokensPerSecond: Double { Double(tokens * batch) / median * 1000 }

    var json: JSON {
        func rounded(_ value: Double) -> JSON { .real((value * 1000).rounded() / 1000) }
        return [
            "tokens": .integer(Int64(tokens)), "batch": .integer(Int64(batch)), "threads": .integer(Int64(threads)),
            "precision": .string(precision.rawValue), "isa": .string(isa.rawValue), "min_ms": rounded(milliseconds[0]),
            "p50_ms": rounded(median), "p99_ms": rounded(quantile(0.99)), "tokens_per_s": rounded(tokensPerSecond),
            "limit_ms": rounded(limit), "ratio_to_limit": rounded(median / limit),
        ]
    }

    static var heading: String {
        say("precision  batch  tokens    min ms    p50 ms    p99 ms   tokens/s  limit ms   × limit",
            zh: "精度        批量    词元    最小ms    中位ms    p99 ms   词元/秒   极限 ms   倍极限")
    }

    var text: String {
        precision.rawValue.padded(11, left: false) + "\(batch)".padded(5) + "\(tokens)".padded(8) + milliseconds[0].fixed(3, width: 10)
            + median.fixed(3, width: 10) + quantile(0.99).fixed(3, width: 10) + "\(Int(tokensPerSecond))".padded(11)
            + limit.fixed(3, width: 10) + (median / limit).fixed(2, width: 10)
    }
}

extension String {
    fileprivate func padded(_ width: Int, left: Bool = true) -> String {
        let spaces = String(repeating: " ", count: max(0, width - count))
        return left ? spaces + self : self + spaces
    }
}

extension Double {
    fileprivate func fixed(_ digits: Int, width: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let whole = Int((self * Double(scale)).rounded())
        let rest = "\(abs(whole) % scale)"
        let text = "\(whole / scale)." + String(repeating: "0", count: digits - rest.count) + rest
        return text.padded(width)
    }
}

import ArgumentParser
import ApplianceConfiguration
import Engine
import Explain
import ModelFormat
import Rollout
import StrictJSON

struct Bench: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Times this machine: latency and throughput of whole passes.", zh: "测速：整次推理的延迟与吞吐。"),
            discussion: say(
                """
                Checks the fast path against the exact one first, and ends with 65 where they disagree. Then every shape is
                timed in this process, without HTTP around it, and compared with what the machine can do at best: the limit
                is the larger of arithmetic at the measured peak and weights read at the measured bandwidth.

                Examples:
                  tiankong bench
                  tiankong bench --shape bert-base-chinese --tokens 16,32,128 --batch 1,8 --precision fast
                """,
                zh: """
                    先用精确路径核对快速路径，不一致则以 65 退出；然后在本进程内（不经 HTTP）对每种形状计时，并与本机极限比较：
                    极限取“按实测峰值的计算时间”与“按实测带宽读权重的时间”中较大者。

                    例：
                      tiankong bench
                      tiankong bench --shape bert-base-chinese --tokens 16,32,128 --batch 1,8 --precision fast
                    """))
    }

    @Option(help: ArgumentHelp(say("A Hugging Face folder; else the model inside the binary.", zh: "Hugging Face 目录；默认用内置模型。"), valueName: "folder"))
    var model: String?

    @Option(help: ArgumentHelp(say("Random weights of a known shape instead: bert-base-chinese.", zh: "改用该形状的随机权重：bert-base-chinese。"), valueName: "name"))
    var shape: String?

    @Option(help: ArgumentHelp(say("Tokens a sequence, [CLS] and [SEP] among them.", zh: "每个序列的词元数，含 [CLS] 与 [SEP]。"), valueName: "n,…"))
    var tokens = "8,16,32,64,128,512"

    @Option(help: ArgumentHelp(say("Sequences a pass.", zh: "每次推理的序列数。"), valueName: "n,…"))
    var batch = "1"

    @Option(help: ArgumentHelp(say("Threads that compute; else as the configuration has it.", zh: "计算线程数；默认按配置。"), valueName: "n"))
    var threads: Int?

    @Option(help: ArgumentHelp(say("fast, exact, or both.", zh: "fast、exact 或 both。"), valueName: "p"))
    var precision = "both"

    @Flag(help: ArgumentHelp(say("A JSON object a shape.", zh: "每种形状输出一个 JSON 对象。")))
    var json = false

    @Flag(help: ArgumentHelp(say("Measure what lines of stdin ask for (Benchmarks/peers.py).", zh: "按标准输入逐行的要求测量（Benchmarks/peers.py）。")))
    var lines = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        if model != nil, shape != nil {
            throw ValidationError(say("--model and --shape exclude each other", zh: "--model 与 --shape 不能同时使用"))
        }
        if lines, try precisions().count > 1 {
            throw ValidationError(say("--lines: expected --precision fast or exact, found both", zh: "--lines：--precision 应为 fast 或 exact，实为 both"))
        }
        _ = try (numbers(tokens, "--tokens", 3...512), numbers(batch, "--batch", 1...256), precisions())
    }

    func run() async throws {
        var settings = try place.load().settings
        if let threads { settings.model.threads = threads }
        let pool = try WorkerPool.configured(settings)
        let fillMask = try FillMask(try contents(), pool: pool)
        if lines { return try await BenchLines(fillMask: fillMask, precision: precisions()[0]).serve() }
        // Only the default may reach beyond a small model's positions.
        let positions = fillMask.contents.shape.positions
        let lengths = try numbers(tokens, "--tokens", 3...512).filter { $0 <= positions }
        if lengths.isEmpty { throw CommandError.flag(name: "--tokens", expected: "3–\(positions)", found: tokens) }
        try await BenchCheck(fillMask: fillMask).run()
        let peaks = try await Peaks.measure(threads: pool.threads, isa: pool.isa)
        if !json { put(heading(peaks, pool)) }
        for precision in try precisions() {
            for batch in try numbers(batch, "--batch", 1...256) {
                for tokens in lengths {
                    let row = try await BenchRow(fillMask: fillMask, tokens: tokens, batch: batch, precision: precision, peaks: peaks)
                    put(json ? row.json.serialized : row.text)
                }
            }
        }
    }

    private func contents() throws -> ModelContents {
        if let model { return try ModelContents(huggingFace: model) }
        guard let shape else { return try ModelContents.embedded() }
        guard shape == "bert-base-chinese" else {
            throw CommandError.flag(name: "--shape", expected: "bert-base-chinese", found: shape)
        }
        return try RandomModel.bertBaseChinese()
    }

    private func heading(_ peaks: Peaks, _ pool: WorkerPool) -> String {
        func whole(_ value: Double) -> String { "\(Int(value.rounded()))" }
        return say(
            "\(pool.isa.rawValue), \(pool.threads) threads; at best \(whole(peaks.dots)) GOP/s in eight bits, \(whole(peaks.multiplyAdds)) GFLOP/s, \(whole(peaks.reading)) GB/s read",
            zh: "\(pool.isa.rawValue)，\(pool.threads) 线程；极限：8 位 \(whole(peaks.dots)) GOP/s，\(whole(peaks.multiplyAdds)) GFLOP/s，读 \(whole(peaks.reading)) GB/s")
            + "\n" + BenchRow.heading
    }

    private func precisions() throws -> [Precision] {
        if precision == "both" { return [.fast, .exact] }
        guard let one = Precision(rawValue: precision) else {
            throw ValidationError(say("--precision: expected fast, exact or both, found \(precision)", zh: "--precision：应为 fast、exact 或 both，实为 \(precision)"))
        }
        return [one]
    }

    private func numbers(_ list: String, _ name: String, _ range: ClosedRange<Int>) throws -> [Int] {
        try list.split(separator: ",", omittingEmptySubsequences: false).map { text in
            guard let number = Int(text), range.contains(number) else {
                let found = text.isEmpty ? Bilingual("nothing", zh: "空") : Bilingual(String(text), zh: String(text))
                throw ValidationError(
                    Bilingual(
                        "\(name): expected \(range.lowerBound) to \(range.upperBound), found \(found.en)",
                        zh: "\(name)：应为 \(range.lowerBound) 到 \(range.upperBound)，实为 \(found.zh)").text(in: language))
            }
            return number
        }
    }
}

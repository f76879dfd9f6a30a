import ArgumentParser
import ApplianceConfiguration
import Disk
import Engine
import Evaluation
import Explain
import Glibc
import ModelFormat
import Rollout
import StrictJSON

struct Calibrate: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Fits a model's temperature and length weights to suites.", zh: "按题集拟合模型的温度与词长权重。"),
            discussion: say(
                """
                Half of the rows are fitted, the other half says what it was worth. With --write the result goes into the
                folder's tiankong.json, from where import and patch make take it as part of the version.

                Example:
                  tiankong calibrate my-model --suites my-suites --write
                """,
                zh: """
                    一半题目用于拟合，另一半用于检验。加 --write 时写入该目录的 tiankong.json，
                    import 与 patch make 会把它作为版本的一部分。

                    例：
                      tiankong calibrate my-model --suites my-suites --write
                    """))
    }

    @Argument(help: ArgumentHelp(say("A Hugging Face folder.", zh: "Hugging Face 目录。"), valueName: "folder"))
    var model: String

    @Option(help: ArgumentHelp(say("A folder of suites; else the packaged ones.", zh: "题集目录；缺省为自带题集。"), valueName: "folder"))
    var suites: String?

    @Flag(help: ArgumentHelp(say("Write the folder's tiankong.json.", zh: "写入该目录的 tiankong.json。")))
    var write = false

    @Flag(help: ArgumentHelp(say("A JSON object.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        let settings = try place.load().settings
        let (fitted, held) = Self.halves(try Suite.all(suites, settings))
        let pool = try WorkerPool.configured(settings)
        let version = try Version.called(model + "/", settings: settings, pool: pool)
        let fit = CalibrationFit(version: version)
        let temperature = try await fit.temperature(fitted)
        let lengths = try await fit.lengths(fitted, temperature: temperature)
        var calibration = Calibration()
        calibration.temperature = rounded(temperature)
        calibration.slope = rounded(lengths.slope)
        calibration.offsets = Self.continued(lengths.offsets).map(rounded)
        let before = try await fit.figures(held, temperature: 1)
        let after = try await fit.figures(held, temperature: Float(calibration.temperature))
        let result: JSON = [
            "calibration": calibration.json,
            "held_out": ["rows": .integer(Int64(before.rows)), "before": before.json, "after": after.json],
            "length_log_likelihood": ["before": .real(lengths.before), "after": .real(lengths.after)],
        ]
        if json { put(result.serialized) } else { show(calibration, before, after) }
        if write { try save(calibration) }
    }

    /// Every other row, so that both halves have all suites and lengths.
    private static func halves(_ suites: [Suite]) -> (fitted: [Row], held: [Row]) {
        let rows = suites.flatMap(\.rows)
        return (rows.enumerated().filter { $0.offset % 2 == 0 }.map(\.element), rows.enumerated().filter { $0.offset % 2 == 1 }.map(\.element))
    }

    /// Lengths that only terms and targets have go on falling as the last fitted ones do.
    private static func continued(_ offsets: [Double]) -> [Double] {
        let last = offsets[offsets.count - 1], fall = max(0.5, offsets[offsets.count - 2] - last)
        return offsets + (1...Calibration.lengths - offsets.count).map { last - Double($0) * fall }
    }

    private func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

    private func show(_ calibration: Calibration, _ before: Figures, _ after: Figures) {
        func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }
        put(say("temperature \(calibration.temperature)", zh: "温度 \(calibration.temperature)"))
        put(say("length weights a = \(calibration.slope), b = \(calibration.offsets)", zh: "词长权重 a = \(calibration.slope)，b = \(calibration.offsets)"))
        put(
            say(
                "calibration error on \(before.rows) rows that were not fitted: \(percent(before.ece)) before, \(percent(after.ece)) after; right first \(percent(before.top1)) before, \(percent(after.top1)) after",
                zh: "未参与拟合的 \(before.rows) 题：校准误差由 \(percent(before.ece)) 变为 \(percent(after.ece))，首选正确率由 \(percent(before.top1)) 变为 \(percent(after.top1))"))
    }

    /// What else the file says stays.
    private func save(_ calibration: Calibration) throws {
        let path = model + "/tiankong.json"
        var members: [JSON.Member] = []
        if Disk().exists(path) {
            members = (try JSON(parsing: try Disk().read(path, atMost: 1 << 20)).members ?? []).filter { $0.key != "calibration" }
        }
        members.append(.init("calibration", calibration.json))
        try Disk().writeDurably(JSON.object(members).serialized + "\n", to: path)
        tell(say("tiankong: \(path) written", zh: "tiankong：已写出 \(path)"))
    }
}

/// What a calibration is fitted by.
struct CalibrationFit {
    let version: Version

    /// The one under which the right answers are likeliest: golden-section search on its logarithm.
    func temperature(_ rows: [Row]) async throws -> Double {
        let golden = (5.0.squareRoot() - 1) / 2
        var (low, high) = (log(0.5), log(4.0))
        var left = high - golden * (high - low), right = low + golden * (high - low)
        var (atLeft, atRight) = (try await loss(rows, exp(left)), try await loss(rows, exp(right)))
        while high - low > 0.02 {
            if atLeft < atRight {
                (high, right, atRight) = (right, left, atLeft)
                left = high - golden * (high - low)
                atLeft = try await loss(rows, exp(left))
            } else {
                (low, left, atLeft) = (left, right, atRight)
                right = low + golden * (high - low)
                atRight = try await loss(rows, exp(right))
            }
        }
        return exp((low + high) / 2)
    }

    /// Mean of −log P(answer | length), nats.
    private func loss(_ rows: [Row], _ temperature: Double) async throws -> Double {
        let run = SuiteRun(version: version, precision: .exact, span: .known, temperature: Float(temperature))
        var sum = 0.0, count = 0
        for row in rows {
            var question = run.question(row)
            question.targets = [row.answer]
            // A row whose answer has no pieces cannot be told by any temperature.
            guard let answer = try? await version.fillMask.answer(question) else { continue }
            sum -= log(max(Double(answer.blanks[0].candidates.first?.score ?? 0), 1e-30))
            count += 1
        }
        return sum / Double(max(count, 1))
    }

    func lengths(_ rows: [Row], temperature: Double) async throws -> LengthFit {
        var observations: [LengthFit.Observation] = []
        for row in rows where (1...4).contains(row.span) {
            let question = Question(row.text, temperature: Float(temperature), precision: .exact, span: .auto)
            let evidence = try await version.fillMask.lengthEvidence(question)
            guard evidence.count >= 4 else { continue }
            observations.append(.init(evidence: Array(evidence.prefix(4)), length: row.span))
        }
        guard !observations.isEmpty else { throw CommandError.flag(name: "--suites", expected: "rows of 1 to 4 characters", found: "none") }
        return LengthFit(observations)
    }

    func figures(_ rows: [Row], temperature: Float) async throws -> Figures {
        let suite = try Suite("held", of: rows)
        let run = SuiteRun(version: version, precision: .exact, span: .known, temperature: temperature)
        return Figures(suite: suite, outcomes: try await run.outcomes(of: suite))
    }
}

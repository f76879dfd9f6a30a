import ArgumentParser
import ApplianceConfiguration
import Disk
import Engine
import Evaluation
import Explain
import ModelFormat
import Rollout
import StrictJSON
import Terms

struct Eval: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("How well a version fills blanks whose answers are known.", zh: "用已知答案的题集评测一个版本。"),
            discussion: say(
                """
                Asks every row of every suite and prints, by suite: the share of right answers first, among the first three
                and five, the mean reciprocal rank, the calibration error, and how long a row takes. --against gives
                the differences from another version with their 95 % intervals.

                A suite is a file of tab-separated columns (sentence, answer, also) or of JSON lines, one sentence a row
                with a [MASK] for each missing character.

                Examples:
                  tiankong eval
                  tiankong eval --suites my-suites --version v3 --against packaged --html report.html
                """,
                zh: """
                    逐行提问，按题集给出：首选正确率、前三与前五命中率、平均倒数排名、校准误差、每题用时。
                    --against 给出与另一版本之差及其 95 % 区间。

                    题集是制表符分隔的文件（sentence、answer、also）或 JSON 行，每行一句，缺几个字写几个 [MASK]。

                    例：
                      tiankong eval
                      tiankong eval --suites my-suites --version v3 --against packaged --html report.html
                    """))
    }

    @Option(help: ArgumentHelp(say("A folder of suites; else the packaged ones.", zh: "题集目录；缺省为自带题集。"), valueName: "folder"))
    var suites: String?

    @Option(help: ArgumentHelp(say("A Hugging Face folder.", zh: "Hugging Face 目录。"), valueName: "folder"))
    var model: String?

    @Option(help: ArgumentHelp(say("A kept version, or packaged; else what answers now.", zh: "已保存的版本或 packaged；缺省为当前版本。"), valueName: "version"))
    var version: String?

    @Option(help: ArgumentHelp(say("A version or folder to compare with.", zh: "用于对比的版本或目录。"), valueName: "version"))
    var against: String?

    @Option(help: ArgumentHelp(say("known: as long as the answer; auto: any length.", zh: "known：已知字数；auto：任意长度。"), valueName: "s"))
    var span = "known"

    @Option(help: ArgumentHelp(say("A folder of terms; else none are considered.", zh: "术语目录；缺省为不用术语。"), valueName: "folder"))
    var terms: String?

    @Option(help: ArgumentHelp(say("fast or exact; else as configured.", zh: "fast 或 exact；缺省按配置。"), valueName: "p"))
    var precision: String?

    @Option(help: ArgumentHelp(say("Write a page to look at.", zh: "写出可浏览的网页报告。"), valueName: "file"))
    var html: String?

    @Option(help: ArgumentHelp(say("Write a dossier's figures, for patch make --dossier.", zh: "写出档案指标，供 patch make --dossier 使用。"), valueName: "file"))
    var dossier: String?

    @Flag(help: ArgumentHelp(say("A JSON object.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        if model != nil, version != nil {
            throw ValidationError(say("--model and --version exclude each other", zh: "--model 与 --version 不能同时使用"))
        }
        guard AskedSpan(rawValue: span) != nil else {
            throw ValidationError(say("--span: expected known or auto, found \(span)", zh: "--span：应为 known 或 auto，实为 \(span)"))
        }
        if let precision, Precision(rawValue: precision) == nil {
            throw ValidationError(say("--precision: expected fast or exact, found \(precision)", zh: "--precision：应为 fast 或 exact，实为 \(precision)"))
        }
    }

    func run() async throws {
        let settings = try place.load().settings
        let suites = try Suite.all(suites, settings)
        let pool = try WorkerPool.configured(settings)
        let new = try run(of: Version.called(model ?? version, settings: settings, pool: pool), settings)
        let old = try against.map { try run(of: Version.called($0, settings: settings, pool: pool), settings) }
        let bar = ProgressBar(say("asking", zh: "提问")), total = suites.reduce(0) { $0 + $1.rows.count } * (old == nil ? 1 : 2)
        var done = 0
        func step() {
            done += 1
            bar.show(done, of: total)
        }
        var (all, pairs): ([(suite: Suite, outcomes: [Outcome])], [(suite: Suite, old: [Outcome], new: [Outcome])]) = ([], [])
        var parts: [Report.Part] = []
        for suite in suites {
            let outcomes = try await new.outcomes(of: suite) { step() }
            all.append((suite, outcomes))
            var comparison: Comparison?
            if let old {
                let before = try await old.outcomes(of: suite) { step() }
                pairs.append((suite, before, outcomes))
                comparison = Comparison(suite: suite, old: before, new: outcomes)
            }
            parts.append(.init(suite: suite.name, figures: Figures(suite: suite, outcomes: outcomes), comparison: comparison))
        }
        bar.end()
        parts.append(.init(suite: nil, figures: .pooled(all), comparison: old == nil ? nil : .pooled(pairs)))
        try show(Report(labels: labels(new.version, old?.version), parts: parts))
    }

    private func run(of version: Version, _ settings: Settings) throws -> SuiteRun {
        if let terms {
            let site = SiteTerms(folder: terms)
            _ = site.look()
            guard site.list.files > 0 else {
                throw CommandError.flag(name: "--terms", expected: "*.txt files in \(terms)", found: "none")
            }
            for fault in site.list.faults { tell("tiankong: " + fault.message.text(in: language)) }
            site.dress(version.fillMask)
        }
        return SuiteRun(
            version: version, precision: precision.flatMap(Precision.init) ?? Precision(settings.model.precision),
            span: AskedSpan(rawValue: span) ?? .known)
    }

    private func labels(_ version: Version, _ against: Version?) -> Report.Labels {
        .init(
            model: version.fillMask.contents.shape.summary, release: version.release, fingerprint: version.fingerprint.short,
            date: String(WallClock.timestamp().prefix(10)), against: against?.release)
    }

    private func show(_ report: Report) throws {
        put(json ? report.json.serialized : report.table(in: language))
        for (file, text) in [(html, report.page(in: language)), (dossier, report.dossier.indented + "\n")] {
            guard let file else { continue }
            try Disk().writeDurably(text, to: file)
            tell(say("tiankong: \(file) written", zh: "tiankong：已写出 \(file)"))
        }
    }
}

import ArgumentParser
import ApplianceConfiguration
import Disk
import Evaluation
import Explain
import Ledger
import ModelStore
import Rollout
import StrictJSON

struct DossierCommand: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "dossier",
            abstract: say("A version's health record: who made it, its figures, what became of it here.", zh: "版本档案：来源、各项指标与在本机的经历。"),
            discussion: say(
                """
                What was signed with the version's patch, and beside it what this appliance found out: figures, verdicts,
                when it was live, why it was left. `tiankong eval --dossier FILE` writes the figures that
                `tiankong patch make --dossier FILE` takes along.

                Examples:
                  tiankong dossier v3
                  tiankong dossier v3 --markdown > v3.md
                """,
                zh: """
                    随补丁签名而来的记录，以及本机的发现：指标、判定、上线时段、回滚原因。
                    `tiankong eval --dossier 文件` 写出指标，`tiankong patch make --dossier 文件` 将其放入补丁。

                    例：
                      tiankong dossier v3
                      tiankong dossier v3 --markdown > v3.md
                    """))
    }

    @Argument(help: ArgumentHelp(say("A kept version; else the current one.", zh: "已保存的版本；缺省为当前版本。"), valueName: "version"))
    var version: String?

    @Flag(help: ArgumentHelp(say("Print JSON, as /v1/versions/VERSION/dossier has it.", zh: "输出 JSON，与 /v1/versions/版本/dossier 一致。")))
    var json = false

    @Flag(help: ArgumentHelp(say("Print a Markdown document.", zh: "输出 Markdown 文档。")))
    var markdown = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        if json, markdown { throw ValidationError(say("expected --json or --markdown, found both", zh: "--json 与 --markdown 只能选其一")) }
    }

    func run() async throws {
        let state = Paths().state(try place.load().settings)
        let manifest = try ModelStore(reading: state).manifest(named: version)
        let file = state + "/ledger.sqlite"
        let ledger = Disk().exists(file) ? try Ledger(reading: file) : nil
        let dossier = Dossier(
            manifest, own: try ledger?.dossier(of: "\(manifest.fingerprint)"), history: try ledger?.lines(limit: 100_000) ?? []
        ).json
        if json { return put(dossier.indented) }
        let page = DossierPage(dossier)
        put(markdown ? page.markdown : page.text)
    }
}

extension Report {
    /// The figures of a dossier (formats.md): shares 0 to 1, `against` the differences from the version before.
    var dossier: JSON {
        var suites: [JSON.Member] = []
        var latency: JSON?
        for part in parts {
            let figures = part.figures
            guard let suite = part.suite else {
                latency = ["p50": .real(figures.p50), "p99": .real(figures.p99)]
                continue
            }
            let against: JSON = part.comparison.map {
                [
                    "release": labels.against.map { .string($0) } ?? .null, "top1": .real($0.top1.value), "top3": .real($0.top3.value),
                    "ece": .real($0.ece.value),
                ]
            } ?? .null
            suites.append(
                .init(
                    suite,
                    [
                        "rows": .integer(Int64(figures.rows)), "top1": .real(figures.top1), "top3": .real(figures.top3),
                        "ece": .real(figures.ece), "against": against,
                    ]))
        }
        return ["figures": .object(suites), "latency_ms": latency ?? .null]
    }
}

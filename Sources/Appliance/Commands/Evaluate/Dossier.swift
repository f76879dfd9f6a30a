import ArgumentParser
import ApplianceConfiguration
import Evaluation
import Explain
import ModelFormat
import ModelStore
import StrictJSON

struct Dossier: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("A version's health record: who made it, and its figures.", zh: "版本档案：来源、训练者与各项指标。"),
            discussion: say(
                """
                What came with the version's patch and was signed with it. `tiankong eval --dossier FILE` writes the figures,
                `tiankong patch make --dossier FILE` takes them along.

                Example:
                  tiankong dossier v3
                """,
                zh: """
                    随补丁签名而来的记录。`tiankong eval --dossier 文件` 写出指标，
                    `tiankong patch make --dossier 文件` 将其放入补丁。

                    例：
                      tiankong dossier v3
                    """))
    }

    @Argument(help: ArgumentHelp(say("A kept version; else the current one.", zh: "已保存的版本；缺省为当前版本。"), valueName: "version"))
    var version: String?

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func run() async throws {
        let store = ModelStore(reading: Paths().state(try place.load().settings))
        let manifest = try store.manifest(named: version)
        let record = manifest.record
        if json { return put(record.indented) }
        for (label, value) in manifest.heads(record) { put(label.text(in: language).padded(to: 12) + value) }
        let rows = Self.rows(record)
        put(rows.count > 1 ? "\n" + Self.table(rows) : say("no figures came with this version", zh: "该版本没有附带指标"))
    }

    private static func rows(_ record: JSON) -> [[String]] {
        func percent(_ value: Double?) -> String { value.map { "\(($0 * 1000).rounded() / 10)%" } ?? "–" }
        func points(_ value: Double?) -> String { value.map { ($0 > 0 ? "+" : "") + "\(($0 * 1000).rounded() / 10)" } ?? "–" }
        var rows = [[say("suite", zh: "题集"), say("rows", zh: "题数"), say("first", zh: "首选"), say("top 3", zh: "前三"), "ECE", say("first, change", zh: "首选变化"), say("top 3, change", zh: "前三变化")]]
        for member in record["figures"]?.members ?? [] {
            let figures = member.value, against = figures["against"]
            rows.append([
                member.key.plain, "\(figures["rows"]?.integer ?? 0)", percent(figures["top1"]?.real), percent(figures["top3"]?.real),
                percent(figures["ece"]?.real), points(against?["top1"]?.real), points(against?["top3"]?.real),
            ])
        }
        return rows
    }

    private static func table(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].columns }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == 0 ? cell.padded(to: widths[column]) : String(repeating: " ", count: widths[column] - cell.columns + 2) + cell
            }.joined()
        }.joined(separator: "\n")
    }
}

extension VersionManifest {
    /// What the store says, then what the signed part does.
    fileprivate var record: JSON {
        var members: [JSON.Member] = [
            .init("version", .string("\(fingerprint)")), .init("release", .string(release)), .init("epoch", .integer(Int64(epoch))),
            .init("created", .string(created)), .init("origin", .string(origin.rawValue)),
            .init("base", patch.map { .string("\($0.base)") } ?? .null),
            .init("signer", patch?.signer.map { .string($0) } ?? .null),
        ]
        let own = Set(members.map(\.key))
        members += (patch?.dossier?.members ?? []).filter { !own.contains($0.key) }
        return .object(members)
    }

    fileprivate func heads(_ record: JSON) -> [(Bilingual, String)] {
        var heads: [(Bilingual, String)] = [
            (Bilingual("version", zh: "版本"), "\(fingerprint.short)  \(release.plain)"),
            (Bilingual("made", zh: "生成"), created),
            (Bilingual("origin", zh: "来源"), origin.rawValue),
        ]
        if let patch {
            heads.append((Bilingual("base", zh: "基线"), patch.base.short))
            heads.append((Bilingual("signed by", zh: "签名者"), patch.signer ?? say("nobody", zh: "无")))
        }
        for (key, label) in [("by", Bilingual("trained by", zh: "训练者")), ("trained", Bilingual("trained", zh: "训练时间"))] {
            if let text = record[key]?.string { heads.append((label, text.plain)) }
        }
        let data = (record["data"]?.elements ?? []).map { "\(($0["name"]?.string ?? "?").plain) (\($0["rows"]?.integer ?? 0))" }
        if !data.isEmpty { heads.append((Bilingual("data", zh: "数据"), data.joined(separator: ", "))) }
        let limits = (record["limits"]?.elements ?? []).compactMap { $0.string?.plain }
        if !limits.isEmpty { heads.append((Bilingual("limits", zh: "局限"), limits.joined(separator: "; "))) }
        return heads
    }
}

extension String {
    /// Columns of a terminal: a Chinese character takes two.
    fileprivate var columns: Int { unicodeScalars.reduce(0) { $0 + ($1.value >= 0x2E80 ? 2 : 1) } }
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - columns)) }
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

import Evaluation
import Explain
import StrictJSON

/// A dossier for people: parts with headings, as a table or as Markdown.
struct DossierPage {
    enum Body {
        /// Names and values.
        case facts([(String, String)])
        /// The first row has the headings.
        case table([[String]])
        case lines([String])
    }

    let title: String
    private(set) var parts: [(heading: String, body: Body)] = []

    init(_ dossier: JSON) {
        title = (dossier["release"]?.string ?? "?").plain
        parts.append(("", .facts(Self.facts(dossier))))
        let own = Self.rows(dossier["figures"], isOurs: true)
        if own.count > 1 {
            parts.append((say("measured here", zh: "本机实测") + Self.time(dossier["measured"]), .table(own)))
        }
        let claimed = Self.rows(dossier["claimed"]?["figures"], isOurs: false)
        if claimed.count > 1 { parts.append((say("said by who made it", zh: "制作者所述"), .table(claimed))) }
        if own.count < 2, claimed.count < 2 { parts.append(("", .lines([say("no figures came with this version", zh: "该版本没有附带指标")]))) }
        let latency = Self.latency(dossier)
        if !latency.isEmpty { parts.append((say("latency", zh: "用时"), .lines(latency))) }
        add(say("verdicts", zh: "判定"), dossier["verdicts"], Self.verdict)
        add(say("live", zh: "上线时段"), dossier["live"], Self.period)
        add(say("rolled back", zh: "回滚"), dossier["rolled_back"]) { "\($0["at"]?.string ?? "?")  \(($0["reason"]?.string ?? "?").plain)" }
    }

    private mutating func add(_ heading: String, _ list: JSON?, _ line: (JSON) -> String) {
        let lines = (list?.elements ?? []).map(line)
        if !lines.isEmpty { parts.append((heading, .lines(lines))) }
    }

    // MARK: - Parts

    private static func facts(_ dossier: JSON) -> [(String, String)] {
        func text(_ key: String) -> String? { dossier[key]?.string?.plain }
        var facts = [
            (say("version", zh: "版本"), "\(text("version")?.prefix(12) ?? "?")  \(text("release") ?? "?")"),
            (say("made", zh: "生成"), text("created") ?? "?"), (say("origin", zh: "来源"), text("origin") ?? "?"),
            (say("epoch", zh: "序号"), "\(dossier["epoch"]?.integer ?? 0)"),
        ]
        if let base = text("base") {
            facts.append((say("base", zh: "基线"), String(base.prefix(12))))
            facts.append((say("signed by", zh: "签名者"), text("signer") ?? say("nobody", zh: "无")))
        }
        if let by = text("by") { facts.append((say("trained by", zh: "训练者"), by)) }
        if let trained = text("trained") { facts.append((say("trained", zh: "训练时间"), trained)) }
        let data = (dossier["data"]?.elements ?? []).map { "\(($0["name"]?.string ?? "?").plain) (\($0["rows"]?.integer ?? 0))" }
        if !data.isEmpty { facts.append((say("data", zh: "数据"), data.joined(separator: ", "))) }
        let limits = (dossier["limits"]?.elements ?? []).compactMap { $0.string?.plain }
        if !limits.isEmpty { facts.append((say("limits", zh: "局限"), limits.joined(separator: "; "))) }
        return facts
    }

    /// - Parameter isOurs: with the smallest drop that a suite can show.
    private static func rows(_ figures: JSON?, isOurs: Bool) -> [[String]] {
        var head = [say("suite", zh: "题集"), say("rows", zh: "题数"), say("first", zh: "首选"), say("top 3", zh: "前三"), "ECE"]
        if isOurs { head.append(say("smallest drop shown", zh: "可测最小降幅")) }
        head += [say("first, change", zh: "首选变化"), say("top 3, change", zh: "前三变化"), say("against", zh: "对照")]
        return [head] + (figures?.members ?? []).map { member in
            let figures = member.value, against = figures["against"]
            var row = [member.key.plain, "\(figures["rows"]?.integer ?? 0)"]
            row += ["top1", "top3", "ece"].map { percent(figures[$0]?.real) }
            if isOurs { row.append(percent(figures["smallest_drop"]?.real)) }
            return row + ["top1", "top3"].map { points(against?[$0]?.real) } + [against?["release"]?.string?.plain ?? "–"]
        }
    }

    private static func latency(_ dossier: JSON) -> [String] {
        func line(_ latency: JSON?) -> String? {
            guard let p50 = latency?["p50"]?.real, let p99 = latency?["p99"]?.real else { return nil }
            let ratio = latency?["ratio"]?.real.map { say(", \($0) times the version before", zh: "，为之前版本的 \($0) 倍") } ?? ""
            return say("half within \(p50) ms, 99 of 100 within \(p99) ms", zh: "半数在 \(p50) ms 内，百分之九十九在 \(p99) ms 内") + ratio
        }
        let own = line(dossier["latency_ms"]).map { say("measured here: ", zh: "本机实测：") + $0 }
        let claimed = line(dossier["claimed"]?["latency_ms"]).map { say("said by who made it: ", zh: "制作者所述：") + $0 }
        return [own, claimed].compactMap { $0 }
    }

    private static func verdict(_ verdict: JSON) -> String {
        let words = ["promote": "可上线", "roll-back": "应回滚", "not-enough-evidence": "证据不足"]
        let word = verdict["verdict"]?.string ?? "?"
        let reasons = (verdict["reasons"]?.elements ?? []).compactMap { $0.string?.plain }.joined(separator: "; ")
        let head = "\(verdict["at"]?.string ?? "?")  \((verdict["phase"]?.string ?? "?").plain)  \(say(word, zh: words[word] ?? word).plain)"
        return head + (reasons.isEmpty ? "" : ": " + reasons)
    }

    private static func period(_ period: JSON) -> String {
        "\(period["from"]?.string ?? "?") – \(period["to"]?.string ?? say("now", zh: "至今"))"
    }

    private static func time(_ at: JSON?) -> String { at?.string.map { ", " + $0.plain } ?? "" }
    private static func percent(_ value: Double?) -> String { value.map { "\(tenths($0))%" } ?? "–" }
    private static func points(_ value: Double?) -> String { value.map { (tenths($0) > 0 ? "+" : "") + "\(tenths($0))" } ?? "–" }
    /// Of a per cent; nobody cares on which side of zero nothing is.
    private static func tenths(_ share: Double) -> Double { (share * 1000).rounded() / 10 + 0 }
}

// MARK: - For a terminal

extension DossierPage {
    var text: String {
        parts.map { part in
            let heading = part.heading.isEmpty ? "" : part.heading + "\n"
            switch part.body {
            case .facts(let facts): return heading + facts.map { $0.padded(to: 12) + $1 }.joined(separator: "\n")
            case .table(let rows): return heading + Self.aligned(rows)
            case .lines(let lines): return heading + lines.map { (heading.isEmpty ? "" : "  ") + $0 }.joined(separator: "\n")
            }
        }.joined(separator: "\n\n")
    }

    private static func aligned(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].columns }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == 0 ? cell.padded(to: widths[column]) : String(repeating: " ", count: widths[column] - cell.columns + 2) + cell
            }.joined()
        }.joined(separator: "\n")
    }
}

extension String {
    /// Columns of a terminal: a Chinese character takes two.
    fileprivate var columns: Int { unicodeScalars.reduce(0) { $0 + ($1.value >= 0x2E80 ? 2 : 1) } }
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - columns)) }
}

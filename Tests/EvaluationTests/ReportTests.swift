import Evaluation
import Explain
import StrictJSON
import Testing

@Suite("a report of figures")
struct ReportTests {
    private static let hostile = "<img src=x onerror='alert(\"1\")'>&\u{202E}\u{1B}[31m"

    private func report(_ names: [String], compared: Bool = true, model: String = "tiankong-base") throws -> Report {
        let parts = try names.enumerated().map { index, name in
            let suite = try suite(40, name: name)
            let old = (0..<40).map { outcome($0, rank: $0.isMultiple(of: 5) ? nil : 1, confidence: Double($0) / 40) }
            let new = (0..<40).map { outcome($0, rank: $0 > 10 * index ? 1 : 3, confidence: Double($0) / 40) }
            return Report.Part(
                suite: name, figures: Figures(suite: suite, outcomes: new),
                comparison: compared ? Comparison(suite: suite, old: old, new: new) : nil)
        }
        let labels = Report.Labels(
            model: model, release: "1.3.0", fingerprint: "9f2c41ab", date: "2026-11-25", against: compared ? "1.2.0" : nil)
        return Report(labels: labels, parts: parts + [Report.Part(suite: nil, figures: parts[0].figures)])
    }

    /// Columns as a terminal counts them, for the characters of these tests.
    private func columns(_ line: some StringProtocol) -> Int {
        line.unicodeScalars.reduce(0) { $0 + ((0x2E80...0xFF60).contains($1.value) ? 2 : 1) }
    }

    @Test("the table's columns are aligned where names are Chinese", arguments: [Language.english, .chinese])
    func aligned(language: Language) throws {
        let lines = try report(["成语", "poems", "唐宋诗词集"]).table(in: language).split(separator: "\n")
        #expect(lines[0] == "tiankong-base" && lines[1].hasPrefix("1.3.0 | 9f2c41ab | 2026-11-25"))
        #expect(Set(lines[2..<7].map(columns)).count == 1, "\(lines[2..<7].joined(separator: "\n"))")
        #expect(lines.allSatisfy { columns($0) <= 80 && $0.last != " " })
    }

    @Test("changes are shown only where there is a comparison")
    func changes() throws {
        #expect(try report(["a"]).table(in: .english).contains("Measure"))
        #expect(try !report(["a"], compared: false).table(in: .english).contains("Measure"))
        #expect(try !report(["a"], compared: false).page(in: .english).contains("verdict\""))
    }

    @Test("JSON holds labels, and figures and comparison suite by suite")
    func json() throws {
        let report = try report(["成语", "poems"])
        let json = try JSON(parsing: report.json.serialized.utf8)
        #expect(json["model"]?.string == "tiankong-base" && json["against"]?.string == "1.2.0")
        let suites = try #require(json["suites"]?.elements)
        #expect(suites.map { $0["name"]?.string } == ["成语", "poems", nil])
        #expect(try Figures(try #require(suites[1]["figures"]), of: "poems") == report.parts[1].figures)
        #expect(suites[0]["comparison"]?["top1"]?["low"]?.real == report.parts[0].comparison?.top1.low)
        #expect(suites[0]["comparison"]?["drifted"]?.bool == report.parts[0].comparison?.drifted)
        #expect(suites[2]["comparison"] == nil)
    }

    @Test("the page runs nothing and fetches nothing")
    func selfContained() throws {
        for language in [Language.english, .chinese] {
            let page = try report(["成语", "poems"]).page(in: language)
            for word in ["<script", "<link", "<img", "src=", "href", "http:", "https:", "url(", "@import", " onerror", "NaN", "nan\""] {
                #expect(!page.contains(word), "\(word)")
            }
            #expect(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"))
        }
        #expect(try report(["a"]).page(in: .chinese).contains("<html lang=\"zh-Hans\">"))
    }

    @Test("each suite has its bars, reliability, histogram and, compared, its intervals, with words for each")
    func drawings() throws {
        let page = try report(["成语", "poems"]).page(in: .english)
        #expect(page.split(separator: "<svg ").count - 1 == 2 * 4 + 3)
        #expect(page.split(separator: "role=\"img\" aria-label=\"").count - 1 == 2 * 4 + 3)
        #expect(page.contains("All suites") && page.contains("Reliability: share right by confidence. ECE 0."))
    }

    @Test("names that are markup are shown and not obeyed, in the page and in the terminal")
    func escaped() throws {
        let report = try report([Self.hostile], model: Self.hostile)
        let page = report.page(in: .english)
        #expect(!page.contains("<img") && !page.contains("\u{202E}") && !page.contains("\u{1B}"))
        #expect(page.contains("&lt;img src=x onerror=&#39;alert(&quot;1&quot;)&#39;&gt;&amp;\\u{202e}"))
        #expect(!report.table(in: .english).contains("\u{1B}"))
    }

    @Test("every element that is opened is closed, in its place")
    func wellFormed() throws {
        let page = try report(["成语", Self.hostile]).page(in: .english)
        var open: [Substring] = []
        for piece in page.split(separator: "<").dropFirst() {
            let tag = try #require(piece.split(separator: ">", omittingEmptySubsequences: false).first)
            let name = tag.prefix { $0 != " " && $0 != "/" }
            if tag.hasPrefix("/") {
                #expect(open.popLast() == tag.dropFirst())
            } else if !tag.hasSuffix("/"), !["meta", "br", "!doctype"].contains(name) {
                open.append(name)
            }
        }
        #expect(open.isEmpty)
    }

    @Test("a report without suites is still a page, and one without rows divides nothing by 0")
    func empty() throws {
        let labels = Report.Labels(model: "m", release: "1", fingerprint: "f", date: "d")
        #expect(Report(labels: labels, parts: []).page(in: .english).contains("</html>"))
        let part = Report.Part(suite: "x", figures: .pooled([]), comparison: .pooled([]))
        let report = Report(labels: labels, parts: [part])
        #expect(!report.page(in: .chinese).contains("nan") && report.table(in: .chinese).contains("0.0%"))
        #expect(Report(labels: labels, parts: []).table(in: .english).hasPrefix("m\n1 | f | d\n"))
    }
}

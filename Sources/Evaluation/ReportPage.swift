public import Explain

extension Report {
    /// One HTML file that needs nothing else: no script, nothing fetched, light or dark as the reader has it.
    public func page(in language: Language) -> String {
        let title = Bilingual("Evaluation: \(labels.model)", zh: "评测：\(labels.model)").text(in: language).escaped
        return """
            <!doctype html>
            <html lang="\(language == .chinese ? "zh-Hans" : "en")">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>\(title)</title>
            <style>
            \(Self.style)
            </style>
            </head>
            <body>
            <header><h1>\(title)</h1><p>\(subtitle(in: language).escaped)</p></header>
            <main>
            \(PageParts(language: language).all(parts))</main>
            </body>
            </html>

            """
    }
}

/// Sections of the page in one language.
private struct PageParts {
    let language: Language

    func all(_ parts: [Report.Part]) -> String {
        parts.isEmpty ? "" : overview(parts) + parts.map { section(of: $0) }.joined()
    }

    private func say(_ english: String, zh: String) -> String { Bilingual(english, zh: zh).text(in: language).escaped }

    private func section(_ title: String, _ content: String) -> String {
        "<section><h2>\(title)</h2>\(content)</section>\n"
    }

    private func figure(_ caption: String, _ drawing: String) -> String {
        "<figure><figcaption>\(caption)</figcaption>\(drawing)</figure>"
    }

    private func overview(_ parts: [Report.Part]) -> String {
        let bars = parts.map { figure($0.name.text(in: language).escaped, $0.figures.bars(in: language)) }.joined()
        return section(
            say("Overview", zh: "总览"),
            table(parts) + "<p class=\"note\">\(Figures.note.text(in: language).escaped)</p>"
                + "<div class=\"charts bars\">\(bars)</div>")
    }

    private func table(_ parts: [Report.Part]) -> String {
        let headings = Report.headings(in: language).map { "<th scope=\"col\">\($0.escaped)</th>" }.joined()
        let rows = parts.map { part in
            let cells = Report.cells(of: part, in: language).map(\.escaped)
            return "<tr><th scope=\"row\">\(cells[0])</th>" + cells.dropFirst().map { "<td>\($0)</td>" }.joined()
                + "</tr>"
        }
        return "<div class=\"wide\" tabindex=\"0\"><table><thead><tr>\(headings)</tr></thead>"
            + "<tbody>\(rows.joined())</tbody></table></div>"
    }

    private func section(of part: Report.Part) -> String {
        let figures = part.figures
        let note = say(
            "\(figures.rows) rows · top-1 \(figures.top1.percent) · ECE \(figures.ece.fixed(3))",
            zh: "\(figures.rows) 题 · 前 1 命中 \(figures.top1.percent) · ECE \(figures.ece.fixed(3))")
        let reliability = figure(
            say("Share right by confidence; each bin's rows above", zh: "各置信度的答对比例；上方为各组题数")
                + legend(say("too modest", zh: "低估"), say("too sure", zh: "高估")),
            figures.reliability(in: language))
        let histogram = figure(
            say("Rows by confidence of the first answer", zh: "题数按首选答案置信度的分布")
                + legend(say("right", zh: "答对"), say("wrong", zh: "答错")),
            figures.histogram(in: language))
        let (verdict, intervals) = part.comparison.map(changes) ?? ("", "")
        return section(
            part.name.text(in: language).escaped,
            "<p class=\"note\">\(note)</p>\(verdict)<div class=\"charts\">\(reliability)\(histogram)\(intervals)</div>")
    }

    private func changes(_ comparison: Comparison) -> (verdict: String, intervals: String) {
        let caption = say("Change with 95 % intervals, in hundredths", zh: "变化及 95% 区间（单位：百分之一）")
        let legend = legend(Report.better.text(in: language).escaped, Report.worse.text(in: language).escaped)
        let style = comparison.drifted ? "verdict drifted" : "verdict"
        return (
            "<p class=\"\(style)\">\(comparison.verdict.text(in: language).escaped)</p>",
            figure(caption + legend, comparison.intervals(in: language))
        )
    }

    private func legend(_ right: String, _ wrong: String) -> String {
        "<br><span class=\"key right\">\(right)</span><span class=\"key wrong\">\(wrong)</span>"
    }
}

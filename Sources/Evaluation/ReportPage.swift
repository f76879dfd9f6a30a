public import Explain

extension Report {
    /// One HTML file that needs nothing else: no script, nothing fetched, light or dark as the reader has it.
    public func page(in language: Language) -> String {
        let title = Bilingual("Evaluation: \(labels.model)", zh: "评测：\(labels.model)").text(in: language).escaped
        let overview = parts.isEmpty ? "" : section(
            Bilingual("Overview", zh: "总览").text(in: language),
            note: nil, figuresTable(in: language) + "<p class=\"note\">\(Figures.note.text(in: language).escaped)</p>"
                + "<div class=\"charts\">" + figure(Bilingual("Share of rows with a right answer", zh: "答案命中率").text(in: language), bars(in: language)) + "</div>")
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
            \(overview)\(parts.map { section(of: $0, in: language) }.joined())</main>
            </body>
            </html>

            """
    }

    private func section(_ title: String, note: String?, _ content: String) -> String {
        let note = note.map { "<p class=\"note\">\($0.escaped)</p>" } ?? ""
        return "<section><h2>\(title.escaped)</h2>\(note)\(content)</section>\n"
    }

    /// - Parameter caption: text; `legend` is markup.
    private func figure(_ caption: String, _ drawing: String, legend: String = "") -> String {
        "<figure><figcaption>\(caption.escaped)\(legend)</figcaption>\(drawing)</figure>"
    }

    private func figuresTable(in language: Language) -> String {
        let headings = Self.headings(in: language).map { "<th scope=\"col\">\($0.escaped)</th>" }.joined()
        let rows = parts.map { part in
            let cells = Self.cells(of: part, in: language)
            return "<tr><th scope=\"row\">\(cells[0].escaped)</th>" + cells.dropFirst().map { "<td>\($0.escaped)</td>" }.joined() + "</tr>"
        }
        return "<div class=\"wide\" tabindex=\"0\"><table><thead><tr>\(headings)</tr></thead><tbody>\(rows.joined())</tbody></table></div>"
    }

    private func section(of part: Part, in language: Language) -> String {
        let figures = part.figures
        let note = Bilingual(
            "\(figures.rows) rows · top-1 \(figures.top1.percent) · ECE \(figures.ece.fixed(3))",
            zh: "\(figures.rows) 题 · 前 1 命中 \(figures.top1.percent) · ECE \(figures.ece.fixed(3))")
        let reliability = figure(
            Bilingual("Share right by confidence; rows of each bin above", zh: "各置信度的答对比例；上方为各组题数").text(in: language)
            , figures.reliability(in: language),
            legend: legend(Bilingual("too modest", zh: "偏谦"), Bilingual("too sure", zh: "过信"), in: language))
        let histogram = figure(
            Bilingual("First answers by confidence", zh: "首选答案的置信度分布").text(in: language), figures.histogram(in: language),
            legend: legend(Bilingual("right", zh: "答对"), Bilingual("wrong", zh: "答错"), in: language))
        var comparison = "", verdict = ""
        if let compared = part.comparison {
            let caption = Bilingual("Change with 95 % intervals, in hundredths", zh: "变化及 95% 区间（单位：百分之一）")
            comparison = figure(
                caption.text(in: language), compared.intervals(in: language),
                legend: legend(Self.better, Self.worse, in: language))
            let style = compared.drifted ? "verdict drifted" : "verdict"
            verdict = "<p class=\"\(style)\">\(compared.verdict.text(in: language).escaped)</p>"
        }
        return section(
            part.name.text(in: language), note: note.text(in: language),
            verdict + "<div class=\"charts\">\(reliability)\(histogram)\(comparison)</div>")
    }

    private func legend(_ right: Bilingual, _ wrong: Bilingual, in language: Language) -> String {
        "<br><span class=\"key right\">\(right.text(in: language).escaped)</span>"
            + "<span class=\"key wrong\">\(wrong.text(in: language).escaped)</span>"
    }
}

import Explain

extension Report {
    /// Shares of rows with a right answer among the first one, three and five, suite by suite.
    func bars(in language: Language) -> String {
        let (left, right, row, block) = (58.0, 308.0, 15.0, 72.0)
        let title = Bilingual("Share of rows with a right answer", zh: "答案命中率").text(in: language)
        let foot = 6 + block * Double(parts.count)
        var drawing = Drawing(height: foot + 18, title: title)
        for tick in stride(from: 0, through: 4, by: 1) {
            let x = left + (right - left) * Double(tick) / 4
            drawing.line("grid", from: (x, 6), to: (x, foot))
            drawing.text("\(tick * 25)%", x: x, y: foot + 14, .middle, style: "tick")
        }
        for (index, part) in parts.enumerated() {
            let top = 6 + block * Double(index)
            drawing.rectangle("sheet", x: 0, y: top, width: 360, height: 18)
            drawing.text(part.name.text(in: language).clipped(to: 44), x: 0, y: top + 13, style: "name")
            let shares = [("top1", Measure.top1, part.figures.top1), ("top3", .top3, part.figures.top3), ("top5", .top5, part.figures.top5)]
            for (line, (style, measure, share)) in shares.enumerated() {
                let y = top + 20 + row * Double(line)
                drawing.text(measure.name.text(in: language), x: left - 6, y: y + 10, .end)
                drawing.rectangle(style, x: left, y: y, width: (right - left) * share, height: row - 3)
                drawing.text(share.percent, x: left + (right - left) * share + 5, y: y + 10, style: "value")
            }
        }
        return drawing.svg
    }
}

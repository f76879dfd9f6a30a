import Explain

extension Figures {
    /// Shares of rows with a right answer among the first one, three and five, on tracks that are the whole.
    func bars(in language: Language) -> String {
        let (left, right, row) = (62.0, 306.0, 19.0)
        let title = Bilingual("Share of rows with a right answer", zh: "答案命中率").text(in: language)
        let shares: [(style: String, measure: Measure, share: Double)] = [
            ("top1", .top1, top1), ("top3", .top3, top3), ("top5", .top5, top5),
        ]
        let said = shares.map { "\($0.measure.name.text(in: language)) \($0.share.percent)" }.joined(separator: ", ")
        var drawing = Drawing(height: row * Double(shares.count), title: "\(title): \(said)")
        for (line, (style, measure, share)) in shares.enumerated() {
            let y = row * Double(line) + 2
            drawing.text(measure.name.text(in: language), x: left - 6, y: y + 11.5, .end)
            drawing.rectangle("track", x: left, y: y, width: right - left, height: row - 4)
            drawing.rectangle(style, x: left, y: y, width: (right - left) * share, height: row - 4)
            drawing.text(share.percent, x: 360, y: y + 11.5, .end, style: "value")
        }
        return drawing.svg
    }
}

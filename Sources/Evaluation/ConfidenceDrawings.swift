import Explain

/// The plane on which confidence runs from left to right, in ten bins.
private struct ConfidencePlane {
    let left = 40.0, right = 350.0, top = 20.0, bottom = 210.0
    let height = 246.0

    var step: Double { (right - left) / Double(Figures.binCount) }

    func x(_ confidence: Double) -> Double { left + (right - left) * confidence }
    func y(_ share: Double) -> Double { bottom - (bottom - top) * share }

    func axes(_ drawing: inout Drawing, marks: [(at: Double, text: String)], in language: Language) {
        for (at, text) in marks {
            drawing.line("grid", from: (left, y(at)), to: (right, y(at)))
            drawing.text(text, x: left - 6, y: y(at) + 4, .end, style: "tick")
        }
        for tick in 0...5 {
            drawing.text((Double(tick) / 5).fixed(1), x: x(Double(tick) / 5), y: bottom + 15, .middle, style: "tick")
        }
        let name = Bilingual("Confidence of the first answer", zh: "首选答案的置信度").text(in: language)
        drawing.text(name, x: (left + right) / 2, y: bottom + 31, .middle)
    }
}

extension Figures {
    /// Share right against confidence, bin by bin, with the bins' counts above: what is calibrated lies on the diagonal
    /// (Niculescu-Mizil and Caruana, ICML 2005).
    func reliability(in language: Language) -> String {
        let plane = ConfidencePlane()
        let title = Bilingual("Reliability: share right by confidence", zh: "可靠性：各置信度的答对比例").text(in: language)
        var drawing = Drawing(height: plane.height, title: "\(title). ECE \(ece.fixed(3))")
        plane.axes(&drawing, marks: [0, 0.25, 0.5, 0.75, 1].map { ($0, ($0 * 100).fixed(0) + "%") }, in: language)
        for (index, bin) in bins.enumerated() {
            let middle = plane.left + plane.step * (Double(index) + 0.5)
            drawing.text(bin.count.brief, x: middle, y: plane.top - 8, .middle, style: "tick")
            guard bin.count > 0 else { continue }
            let share = Double(bin.right) / Double(bin.count)
            let confidence = bin.confidence / Double(bin.count)
            drawing.rectangle(
                "share", x: middle - plane.step / 2 + 1, y: plane.y(share), width: plane.step - 2,
                height: plane.bottom - plane.y(share))
            let (upper, lower) = (plane.y(max(share, confidence)), plane.y(min(share, confidence)))
            let style = confidence > share ? "over" : "under"
            drawing.rectangle(style, x: plane.x(confidence) - 2, y: upper, width: 4, height: lower - upper)
        }
        drawing.line("diagonal", from: (plane.left, plane.bottom), to: (plane.right, plane.top))
        for bin in bins where bin.count > 0 {
            let count = Double(bin.count)
            drawing.dot("dot", x: plane.x(bin.confidence / count), y: plane.y(Double(bin.right) / count), radius: 3.5)
        }
        return drawing.svg
    }

    /// How many first answers were right and wrong at each confidence.
    func histogram(in language: Language) -> String {
        let plane = ConfidencePlane()
        let title = Bilingual("First answers by confidence, right and wrong", zh: "首选答案按置信度分布：答对与答错").text(in: language)
        var drawing = Drawing(height: plane.height, title: title)
        let most = Self.scale(bins.map { max($0.right, $0.count - $0.right) }.max() ?? 0)
        plane.axes(&drawing, marks: [0, 0.5, 1].map { ($0, Int($0 * Double(most)).brief) }, in: language)
        let width = plane.step / 2 - 2
        for (index, bin) in bins.enumerated() {
            let start = plane.left + plane.step * Double(index) + 2
            for (style, offset, count) in [("right", 0, bin.right), ("wrong", width, bin.count - bin.right)] {
                let y = plane.y(Double(count) / Double(most))
                drawing.rectangle(style, x: start + offset, y: y, width: width, height: plane.bottom - y)
            }
        }
        return drawing.svg
    }

    /// The next of 2, 4, 6, 10, 20, 40, …: halves of the axis are whole then.
    private static func scale(_ most: Int) -> Int {
        var unit = 1
        while most > unit * 10 { unit *= 10 }
        return [2, 4, 6, 10].map { $0 * unit }.first { $0 >= most } ?? unit * 10
    }
}

import Explain

extension Comparison {
    /// Each measure's change with its interval, around a line for none.
    func intervals(in language: Language) -> String {
        let (left, right, block) = (12.0, 348.0, 40.0)
        let title = Bilingual("Changes with 95 % intervals, in hundredths", zh: "变化及 95% 区间（百分之一）").text(in: language)
        let foot = 6 + block * Double(Measure.allCases.count)
        var drawing = Drawing(height: foot + 22, title: title)
        let reach = Self.reach(
            Measure.allCases.map { measure in
                let difference = measure.difference(self)
                return max(difference.low.magnitude, difference.high.magnitude, difference.value.magnitude)
            }.max() ?? 0)
        func x(_ difference: Double) -> Double { (left + right) / 2 + (right - left) / 2 * difference / reach }
        for tick in [-1, -0.5, 0, 0.5, 1] {
            let at = x(tick * reach)
            drawing.line(tick == 0 ? "zero" : "grid", from: (at, 6), to: (at, foot))
            let anchor: Drawing.Anchor = tick == -1 ? .start : tick == 1 ? .end : .middle
            drawing.text((tick * reach).points().typographic, x: at, y: foot + 15, anchor, style: "tick")
        }
        for (index, measure) in Measure.allCases.enumerated() {
            let difference = measure.difference(self)
            let y = 6 + block * Double(index)
            let style = difference.excludesZero ? (measure.isBetter(difference) ? "right" : "wrong") : "open"
            drawing.rectangle("sheet", x: 0, y: y, width: 360, height: 17)
            drawing.text(measure.name.text(in: language), x: left, y: y + 13, style: "name")
            drawing.text(difference.said, x: right, y: y + 13, .end, style: "value")
            let width = max(1, x(difference.high) - x(difference.low))
            drawing.rectangle(style, x: x(difference.low), y: y + 25, width: width, height: 5)
            drawing.dot("dot", x: x(difference.value), y: y + 27.5, radius: 4.5)
        }
        return drawing.svg
    }

    /// The next round number of hundredths, as a share.
    private static func reach(_ most: Double) -> Double {
        [0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.6].first { $0 >= most } ?? 1
    }
}

extension Comparison.Difference {
    fileprivate var said: String { "\(value.points())  [\(low.points()), \(high.points())]".typographic }
}

extension String {
    /// With a minus sign in place of a hyphen, for it is as wide as a plus.
    var typographic: String { String(map { $0 == "-" ? "\u{2212}" : $0 }) }
}

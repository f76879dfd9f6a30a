import Explain

/// One SVG in the making. Lengths are its own units, which a phone shows a little smaller than a pixel; colours are
/// classes, so that light and dark are the style's business.
struct Drawing {
    let width: Double
    let height: Double
    /// What it shows, for who cannot see it.
    let title: String
    private var body = ""

    init(width: Double = 360, height: Double, title: String) {
        (self.width, self.height, self.title) = (width, height, title)
    }

    enum Anchor: String { case start, middle, end }

    mutating func rectangle(_ style: String, x: Double, y: Double, width: Double, height: Double) {
        body +=
            "<rect class=\"\(style)\" x=\"\(x.unit)\" y=\"\(y.unit)\" width=\"\(max(0, width).unit)\""
            + " height=\"\(max(0, height).unit)\"/>"
    }

    mutating func line(_ style: String, from: (x: Double, y: Double), to: (x: Double, y: Double)) {
        body +=
            "<line class=\"\(style)\" x1=\"\(from.x.unit)\" y1=\"\(from.y.unit)\" x2=\"\(to.x.unit)\" y2=\"\(to.y.unit)\"/>"
    }

    mutating func dot(_ style: String, x: Double, y: Double, radius: Double) {
        body += "<circle class=\"\(style)\" cx=\"\(x.unit)\" cy=\"\(y.unit)\" r=\"\(radius.unit)\"/>"
    }

    mutating func text(_ text: String, x: Double, y: Double, _ anchor: Anchor = .start, style: String = "label") {
        body +=
            "<text class=\"\(style)\" x=\"\(x.unit)\" y=\"\(y.unit)\" text-anchor=\"\(anchor.rawValue)\">\(text.escaped)</text>"
    }

    var svg: String {
        "<svg viewBox=\"0 0 \(width.unit) \(height.unit)\" role=\"img\" aria-label=\"\(title.escaped)\">\(body)</svg>"
    }
}

extension Double {
    fileprivate var unit: String { fixed(1) }
}

extension String {
    /// For HTML and SVG, in text and in quoted attributes; what is hidden in it is shown.
    var escaped: String {
        var text = ""
        for scalar in plain.unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            case "'": text += "&#39;"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

/// Numbers as people read them; Foundation's formats would cost 45 MB.
extension Double {
    /// With that many digits after the point, half away from zero.
    func fixed(_ digits: Int) -> String {
        let scale = (0..<digits).reduce(1) { scale, _ in scale * 10 }
        guard isFinite, magnitude < 1e12 else { return "\(self)" }
        let units = Int((magnitude * Double(scale)).rounded())
        let sign = self < 0 && units > 0 ? "-" : ""
        guard digits > 0 else { return sign + "\(units)" }
        let fraction = String(units % scale)
        return sign + "\(units / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// A share of 1 as percent.
    var percent: String { (self * 100).fixed(1) + "%" }

    /// A difference of shares in hundredths.
    func points(signed: Bool = true) -> String {
        let text = (self * 100).fixed(1)
        return signed && !text.hasPrefix("-") && text != "0.0" ? "+" + text : text
    }

    /// Three figures at most before a terminal's column bursts.
    var milliseconds: String { fixed(self < 10 ? 2 : self < 100 ? 1 : 0) }
}

extension Int {
    /// Where there is little room: 950, 1.2k, 12k.
    var brief: String {
        switch self {
        case ..<1_000: "\(self)"
        case ..<9_950: (Double(self) / 1_000).fixed(1) + "k"
        default: (Double(self) / 1_000).fixed(0) + "k"
        }
    }
}

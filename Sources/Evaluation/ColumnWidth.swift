extension String {
    /// Columns in a terminal: 2 for what East Asian Width (Unicode Annex 11) calls wide or fullwidth, 0 for what joins
    /// the character before it.
    var columns: Int { unicodeScalars.reduce(0) { $0 + $1.columns } }

    func padded(to width: Int, right: Bool) -> String {
        let blanks = String(repeating: " ", count: max(0, width - columns))
        return right ? blanks + self : self + blanks
    }
}

extension Unicode.Scalar {
    fileprivate var columns: Int {
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        switch value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
            0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF,
            0x20000...0x3FFFD:
            return 2
        default: return 1
        }
    }
}

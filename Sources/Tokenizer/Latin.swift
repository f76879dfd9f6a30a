/// Latin letters and their small forms, for vocabularies that have no capitals: bert-base-chinese has `pd` and `covid`
/// but nothing for PD or COVID, and would read both as [UNK].
enum Latin {
    static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x41...0x5A, 0x61...0x7A: true
        case 0xC0...0x24F, 0x1E00...0x1EFF, 0x2C60...0x2C7F, 0xA722...0xA7FF, 0xFF21...0xFF3A, 0xFF41...0xFF5A:
            scalar.properties.isAlphabetic
        default: false
        }
    }

    /// The small form, where the scalar is a Latin capital with one of a single scalar (İ has none).
    static func folded(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
        if (0x41...0x5A).contains(scalar.value) { return Unicode.Scalar(scalar.value + 0x20) }
        guard scalar.value >= 0xC0, isLetter(scalar) else { return nil }
        let small = scalar.properties.lowercaseMapping.unicodeScalars
        guard small.count == 1, let first = small.first, first != scalar else { return nil }
        return first
    }
}

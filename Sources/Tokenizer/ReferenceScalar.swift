@_spi(_Unicode) import Swift

/// What the reference tokenizer takes a scalar for.
///
/// Hugging Face's tables are those of Unicode 8; what was assigned later is an ordinary character to it. Swift's tables
/// are newer, so `age` says what counts, and the few scalars that changed their category since are named. Compared
/// with the reference for every scalar there is (TokenizerTests, `everyScalar`).
enum ReferenceScalar {
    /// Dropped before anything else: controls, formats, private use; NUL and the replacement character.
    static func isDropped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D: return false
        case 0x00...0x1F, 0x7F...0x9F, 0xFFFD: return true
        case 0x20...0x7E: return false
        default:
            switch scalar.properties.generalCategory {
            case .privateUse: return true
            case .format, .control: return isOld(scalar)
            default: return false
            }
        }
    }

    /// Isolated as a word of its own: every ASCII symbol, and Unicode's punctuation.
    static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: return true
        case 0x00...0x7F: return false
        case 0x166D, 0x111C9: return true
        default:
            switch scalar.properties.generalCategory {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation:
                return isOld(scalar)
            default: return false
            }
        }
    }

    /// Isolated as a word of its own where `tokenize_chinese_chars` is on. The gap at U+2B820 is the reference's.
    static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }

    /// A nonspacing mark, dropped where accents are stripped.
    static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x1734, 0x1171E: true
        case 0x1885, 0x1886, 0xA9BD, 0x111C9: false
        default: scalar.properties.generalCategory == .nonspacingMark && isOld(scalar)
        }
    }

    /// Canonical decomposition (UAX 15). The reference knows none that came after Unicode 12.
    static func decomposition(of scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        guard scalar.value >= 0xC0, scalar.properties.age.map({ $0.major <= 12 }) ?? false else { return [scalar] }
        return Array(String(Character(scalar))._nfd)
    }

    private static func isOld(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.age.map { $0.major <= 8 } ?? false
    }
}

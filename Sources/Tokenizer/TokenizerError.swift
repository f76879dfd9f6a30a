public import Explain

public enum TokenizerError: Explained, Equatable {
    /// A piece that no text can do without.
    case pieceMissing(String)
    case pieceTwice(String, first: Int, second: Int)
    /// `offset`: the Unicode scalar of the text at which the limit falls.
    case textTooLong(tokens: Int, limit: Int, offset: Int)

    public var message: Bilingual {
        switch self {
        case .pieceMissing(let piece):
            Bilingual("vocabulary: expected the piece \(piece), found none", zh: "词表：缺少词元 \(piece)")
        case .pieceTwice(let piece, let first, let second):
            Bilingual(
                "vocabulary: expected each piece once, found \(piece) as \(first) and as \(second)",
                zh: "词表：词元 \(piece) 重复，编号 \(first) 与 \(second)")
        case .textTooLong(let tokens, let limit, let offset):
            Bilingual(
                "text: expected at most \(limit) tokens, found \(tokens); the limit falls at character \(offset)",
                zh: "文本：最多 \(limit) 个词元，实为 \(tokens) 个；上限落在第 \(offset) 个字符处")
        }
    }

    public var hint: Bilingual? {
        guard case .textTooLong = self else { return nil }
        return Bilingual("shorten the text around its blanks", zh: "请缩短空前后的文本")
    }

    public var detail: Detail? {
        guard case .textTooLong(let tokens, let limit, let offset) = self else { return nil }
        return Detail(field: "text", expected: "at most \(limit) tokens", found: "\(tokens) tokens, the limit at character \(offset)")
    }
}

public import Explain

/// Why a text is not JSON. `offset` counts bytes from the start of the text.
public enum JSONError: Explained, Equatable {
    case unexpected(found: String, expected: String, offset: Int)
    case endOfText(expected: String)
    case trailing(offset: Int)
    case invalidUTF8(offset: Int)
    case loneSurrogate(offset: Int)
    case controlCharacter(offset: Int)
    case duplicateKey(String, offset: Int)
    case tooDeep(limit: Int, offset: Int)
    case numberOutOfRange(offset: Int)

    public var message: Bilingual {
        switch self {
        case .unexpected(let found, let expected, let offset):
            Bilingual(
                "JSON, byte \(offset): expected \(expected), found \(found)",
                zh: "JSON 第 \(offset) 字节：应为 \(expected)，实为 \(found)")
        case .endOfText(let expected):
            Bilingual("JSON ends early: expected \(expected)", zh: "JSON 提前结束：还应有 \(expected)")
        case .trailing(let offset):
            Bilingual(
                "JSON, byte \(offset): expected the end, found more text", zh: "JSON 第 \(offset) 字节：应已结束，却还有内容")
        case .invalidUTF8(let offset):
            Bilingual("JSON, byte \(offset): expected UTF-8, found an invalid byte", zh: "JSON 第 \(offset) 字节：不是合法的 UTF-8")
        case .loneSurrogate(let offset):
            Bilingual(
                "JSON, byte \(offset): expected a surrogate pair, found half of one",
                zh: "JSON 第 \(offset) 字节：应为成对的代理项，实为半个")
        case .controlCharacter(let offset):
            Bilingual(
                "JSON, byte \(offset): expected control characters to be escaped, found one as it is",
                zh: "JSON 第 \(offset) 字节：控制字符须转义")
        case .duplicateKey(let key, let offset):
            Bilingual("JSON, byte \(offset): the key \"\(key)\" occurs twice", zh: "JSON 第 \(offset) 字节：键 \"\(key)\" 出现了两次")
        case .tooDeep(let limit, let offset):
            Bilingual(
                "JSON, byte \(offset): expected at most \(limit) levels, found more", zh: "JSON 第 \(offset) 字节：嵌套超过 \(limit) 层")
        case .numberOutOfRange(let offset):
            Bilingual("JSON, byte \(offset): expected a finite number", zh: "JSON 第 \(offset) 字节：数超出范围")
        }
    }
}

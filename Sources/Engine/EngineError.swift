public import Explain
public import ModelFormat
public import Tokenizer

public enum EngineError: Explained, Equatable {
    case isaMissing(ISA, best: ISA)
    case threads(Int, limit: Int)
    /// A weight is not where the shape says it must be: the contents were not validated.
    case tensorMissing(String)
    /// A matrix's packed bytes are not there, or not as many as its shape says.
    case packedMissing(String, expected: Int, found: Int)
    /// The vocabulary lacks what the tokenizer needs.
    case vocabulary(TokenizerError)
    /// The text cannot be tokenized within the model's positions.
    case text(TokenizerError)
    case noBlank
    case tooManyBlanks(found: Int, limit: Int)
    case unknownTarget(index: Int, text: String, pieces: [String])
    /// A target has pieces that the vocabulary lacks.
    case unknownPieces(index: Int, text: String, pieces: [String])
    /// A target has more or fewer pieces than a blank may have.
    case targetLength(index: Int, text: String, pieces: [String], expected: ClosedRange<Int>)
    /// With the word in its blank the text does not fit.
    case wordTooLong(tokens: Int, limit: Int)
    /// The version's calibration is not one.
    case calibration(ModelFormatError)
    /// The queue is full; asking again later may work.
    case overloaded(limit: Int)
    case cancelled
    case stopped
    /// The model computed something that is not a number.
    case notFinite

    public var message: Bilingual {
        switch self {
        case .isaMissing(let isa, let best):
            Bilingual(
                "this machine has no \(isa.rawValue): the best it has is \(best.rawValue)",
                zh: "本机不支持 \(isa.rawValue)，最高支持 \(best.rawValue)")
        case .threads(let found, let limit):
            Bilingual("threads: expected 1 to \(limit), found \(found)", zh: "线程数：应为 1 到 \(limit)，实为 \(found)")
        case .tensorMissing(let name):
            Bilingual("tensor \(name): expected in the model, found nothing", zh: "张量 \(name)：模型中没有")
        case .packedMissing(let name, let expected, let found):
            Bilingual(
                "packed \(name): expected \(expected) bytes or twice as many, found \(found)",
                zh: "打包矩阵 \(name)：应为 \(expected) 字节或其两倍，实为 \(found)")
        case .vocabulary(let error), .text(let error): error.message
        case .noBlank:
            Bilingual("text: expected at least one [MASK], found none", zh: "文本：至少要有一个 [MASK]，实际没有")
        case .tooManyBlanks(let found, let limit):
            Bilingual(
                "text: expected at most \(limit) blanks, found \(found)", zh: "文本：最多 \(limit) 个空，实为 \(found) 个")
        case .unknownTarget(_, let text, let pieces):
            pieces.count > 1
                ? Bilingual(
                    "target \"\(text)\": expected one piece of the vocabulary, found \(pieces.count): "
                        + pieces.joined(separator: " "),
                    zh: "目标词“\(text)”：应为词表中的一个词元，实为 \(pieces.count) 个：" + pieces.joined(separator: " "))
                : Bilingual(
                    "target \"\(text)\": expected a piece of the vocabulary, found none",
                    zh: "目标词“\(text)”：词表中没有")
        case .unknownPieces(_, let text, let pieces):
            Bilingual(
                "target \"\(text)\": expected pieces of the vocabulary, found " + pieces.joined(separator: " "),
                zh: "目标词“\(text)”：含有词表中没有的字：" + pieces.joined(separator: " "))
        case .targetLength(_, let text, let pieces, let expected):
            Bilingual(
                "target \"\(text)\": expected \(Self.count(expected)), found \(pieces.count): " + pieces.joined(separator: " "),
                zh: "目标词“\(text)”：应为 \(expected.lowerBound == expected.upperBound ? "\(expected.lowerBound)" : "\(expected.lowerBound) 到 \(expected.upperBound)") 个词元，实为 \(pieces.count) 个："
                    + pieces.joined(separator: " "))
        case .wordTooLong(let tokens, let limit):
            Bilingual(
                "text: expected at most \(limit) tokens with the word in its blank, found \(tokens)",
                zh: "文本：填入该词后最多 \(limit) 个词元，实为 \(tokens) 个")
        case .calibration(let error): error.message
        case .overloaded(let limit):
            Bilingual("the queue of \(limit) questions is full", zh: "等待队列（\(limit)）已满")
        case .cancelled: Bilingual("the question was given up before its turn", zh: "问题在处理前已被取消")
        case .stopped: Bilingual("the service is stopping", zh: "服务正在停止")
        case .notFinite: Bilingual("the model's answer is not a number", zh: "模型算出了非数值")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .isaMissing:
            Bilingual("unset TIANKONG_ISA to let the machine choose", zh: "去掉 TIANKONG_ISA，由机器自行选择")
        case .vocabulary(let error), .text(let error): error.hint
        case .calibration(let error): error.hint
        case .wordTooLong: Bilingual("shorten the text around its blanks", zh: "请缩短空前后的文本")
        case .noBlank: Bilingual("write [MASK] where the blank is", zh: "在要填空处写上 [MASK]")
        case .unknownTarget(_, _, let pieces) where pieces.count > 1:
            Bilingual("ask with \"span\": \"auto\" for words of several characters", zh: "多字词请用 \"span\": \"auto\" 提问")
        case .overloaded: Bilingual("ask again in a moment", zh: "请稍后再试")
        default: nil
        }
    }

    public var detail: Detail? {
        switch self {
        case .vocabulary(let error), .text(let error): error.detail
        case .noBlank: Detail(field: "text", expected: "at least one [MASK]", found: "none")
        case .tooManyBlanks(let found, let limit):
            Detail(field: "text", expected: "at most \(limit) blanks", found: "\(found)")
        case .unknownTarget(let index, let text, let pieces):
            Detail(
                field: "targets[\(index)]", expected: "one piece of the vocabulary",
                found: pieces.count > 1 ? "\(pieces.count) pieces: " + pieces.joined(separator: " ") : "\"\(text)\"")
        case .unknownPieces(let index, _, let pieces):
            Detail(field: "targets[\(index)]", expected: "pieces of the vocabulary", found: pieces.joined(separator: " "))
        case .targetLength(let index, _, let pieces, let expected):
            Detail(
                field: "targets[\(index)]", expected: Self.count(expected),
                found: Self.count(pieces.count...pieces.count) + ": " + pieces.joined(separator: " "))
        case .wordTooLong(let tokens, let limit): Detail(field: "text", expected: "at most \(limit) tokens", found: "\(tokens)")
        case .calibration(let error): error.detail
        default: nil
        }
    }

    private static func count(_ pieces: ClosedRange<Int>) -> String {
        pieces == 1...1 ? "1 piece" : pieces.lowerBound == pieces.upperBound ? "\(pieces.lowerBound) pieces" : "\(pieces.lowerBound) to \(pieces.upperBound) pieces"
    }
}

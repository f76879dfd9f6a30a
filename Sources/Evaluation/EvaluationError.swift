public import Disk
public import Explain

public enum EvaluationError: Explained, Equatable {
    /// A line of a suite's file, counted from 1, cannot be one of its rows.
    case row(file: String, line: Int, expected: Bilingual, found: String)
    /// The sentence of that line stood in an earlier one already.
    case duplicate(file: String, line: Int, earlier: Int)
    case tooManyRows(file: String, limit: Int)
    case noRows(file: String)
    /// Two files of one folder whose suites would have the same name.
    case sameName(file: String, other: String)
    /// Figures in JSON that no suite can have.
    case figures(object: String, Detail)
    case disk(DiskError)

    public var message: Bilingual {
        switch self {
        case .row(let file, let line, let expected, let found):
            Bilingual(
                "\(file):\(line): expected \(expected.en), found \(found.plain)",
                zh: "\(file):\(line)：应为\(expected.zh)，实为 \(found.plain)")
        case .duplicate(let file, let line, let earlier):
            Bilingual(
                "\(file):\(line): expected a new sentence, found that of line \(earlier)",
                zh: "\(file):\(line)：应为新句子，实与第 \(earlier) 行相同")
        case .tooManyRows(let file, let limit):
            Bilingual("\(file): expected at most \(limit) rows, found more", zh: "\(file)：应不超过 \(limit) 行，实际更多")
        case .noRows(let file): Bilingual("\(file): expected rows, found none", zh: "\(file)：应有题目，实际没有")
        case .sameName(let file, let other):
            Bilingual(
                "\(file): expected a suite's name of its own, found that of \(other)",
                zh: "\(file)：题集应有自己的名称，实与 \(other) 同名")
        case .figures(let object, let detail):
            Bilingual(
                "\(object): \(detail.field): expected \(detail.expected), found \(detail.found)",
                zh: "\(object)：\(detail.field)：应为 \(detail.expected)，实为 \(detail.found)")
        case .disk(let error): error.message
        }
    }

    public var detail: Detail? {
        if case .figures(_, let detail) = self { detail } else { nil }
    }

    public var hint: Bilingual? {
        switch self {
        case .row:
            Bilingual(
                "a row is a sentence with one blank of 1 to 8 adjacent [MASK], one for each character of its answer",
                zh: "每题一句，句中一处空格，由 1 至 8 个相连的 [MASK] 组成，答案每字一个")
        case .duplicate: Bilingual("remove one; other right answers go into \"also\"", zh: "请删去其一；其他正确答案写入 also")
        case .tooManyRows: Bilingual("split the file", zh: "请拆分该文件")
        case .sameName: Bilingual("rename one of them", zh: "请将其中一个改名")
        case .disk(let error): error.hint
        case .noRows, .figures: nil
        }
    }
}

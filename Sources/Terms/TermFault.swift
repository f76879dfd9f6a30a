public import Disk
public import Explain

/// What was passed over while a site's terms were read, and why.
public enum TermFault: Explained, Equatable {
    /// A line that is no term, counted from 1.
    case line(file: String, line: Int, expected: Expected, found: String)
    /// A file that cannot be read or is too large; for the folder as a whole, `file` is its path.
    case unreadable(file: String, error: DiskError)
    /// There were enough terms before that line: its term and all further ones are left out.
    case tooMany(file: String, line: Int, limit: Int)

    /// What a line has to be.
    public enum Expected: Sendable, Hashable {
        case utf8, fields, text, weight, domain
    }

    /// The name, without the folder.
    public var file: String {
        switch self {
        case .line(let file, _, _, _), .unreadable(let file, _), .tooMany(let file, _, _): file
        }
    }

    /// Counted from 1; 0 is the file as a whole.
    public var line: Int {
        switch self {
        case .line(_, let line, _, _), .tooMany(_, let line, _): line
        case .unreadable: 0
        }
    }

    public var message: Bilingual {
        switch self {
        case .line(_, _, let expected, let found):
            say(expected.text, found.isEmpty ? Bilingual("nothing", zh: "空") : Bilingual(found, zh: found))
        case .unreadable(_, let error): Bilingual(error.message.en.plain, zh: error.message.zh.plain)
        case .tooMany(_, _, let limit):
            say(Bilingual("at most \(limit) terms", zh: "至多 \(limit) 个词条"), Bilingual("another one", zh: "更多词条"))
        }
    }

    private func say(_ expected: Bilingual, _ found: Bilingual) -> Bilingual {
        Bilingual(
            "\(file.plain), line \(line): expected \(expected.en), found \(found.en)",
            zh: "\(file.plain) 第 \(line) 行：应为 \(expected.zh)，实为 \(found.zh)")
    }

    public var detail: Detail? {
        let (expected, found) =
            switch self {
            case .line(_, _, let expected, let found): (expected.text.en, found)
            case .unreadable(_, .tooLarge(_, let limit, let found)): ("at most \(limit) bytes", "\(found)")
            case .unreadable(_, let error): ("a file that can be read", error.message.en.plain)
            case .tooMany(_, _, let limit): ("at most \(limit) terms", "another one")
            }
        return Detail(field: "\(file.plain):\(line)", expected: expected, found: found)
    }

    public var hint: Bilingual? {
        switch self {
        case .line(_, _, .utf8, _): Bilingual("save the file as UTF-8", zh: "请将文件另存为 UTF-8 编码")
        case .line(_, _, .fields, _): Bilingual("a line is: term, weight, domain", zh: "每行依次为：词条、权重、领域")
        case .line(_, _, .weight, _): Bilingual("leave the field empty for no weight", zh: "不需要权重时请将该栏留空")
        case .line: nil
        case .unreadable(_, .tooLarge): Bilingual("divide it into several files", zh: "请拆分为多个文件")
        case .unreadable(_, let error): error.hint
        case .tooMany: Bilingual("remove terms that are not needed", zh: "请删去不需要的词条")
        }
    }
}

extension TermFault.Expected {
    var text: Bilingual {
        let most = Term.mostScalars
        return switch self {
        case .utf8: Bilingual("UTF-8", zh: "UTF-8 编码")
        case .fields: Bilingual("at most 3 fields between tabs", zh: "以制表符分隔的至多 3 栏")
        case .text:
            Bilingual("a term of 1 to \(most) visible characters without [MASK]", zh: "1 至 \(most) 个可见字符且不含 [MASK] 的词条")
        case .weight: Bilingual("a weight above 1 and at most 1000", zh: "大于 1 且不超过 1000 的权重")
        case .domain: Bilingual("a domain of at most \(most) visible characters", zh: "至多 \(most) 个可见字符的领域")
        }
    }
}

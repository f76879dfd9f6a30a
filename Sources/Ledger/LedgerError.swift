public import Disk
public import Explain

public enum LedgerError: Explained, Equatable {
    /// SQLite refused: what was done, and its own words.
    case sqlite(file: String, step: String, code: Int32, text: String)
    /// A line is not what its hash says, or does not follow the one before it.
    case broken(file: String, line: Int, expected: String, found: String)
    /// Written by a later version of this program.
    case layout(file: String, expected: Int, found: Int)
    case disk(DiskError)

    public var message: Bilingual {
        switch self {
        case .disk(let error): error.message
        case .sqlite(let file, let step, let code, let text):
            Bilingual("\(file): \(step) failed: \(text) (SQLite \(code))", zh: "\(file)：\(step) 失败：\(text)（SQLite \(code)）")
        case .broken(let file, let line, let expected, let found):
            Bilingual(
                "\(file): history line \(line): expected \(expected), found \(found)",
                zh: "\(file)：历史第 \(line) 行：应为 \(expected)，实为 \(found)")
        case .layout(let file, let expected, let found):
            Bilingual("\(file): expected layout \(expected), found \(found)", zh: "\(file)：应为版式 \(expected)，实为 \(found)")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .sqlite: nil
        case .disk(let error): error.hint
        case .broken: Bilingual("somebody or something changed the history", zh: "历史被人或程序改动过")
        case .layout: Bilingual("install the newer tiankong again", zh: "请重新安装较新的 tiankong")
        }
    }
}

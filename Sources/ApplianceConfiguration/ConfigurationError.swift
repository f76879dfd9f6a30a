public import Disk
public import Explain

/// Why the appliance refuses to start with this configuration.
public enum ConfigurationError: Explained, Equatable {
    case unreadable(DiskError)
    case syntax(file: String, line: Int, problem: String)
    case duplicateKey(file: String, line: Int, key: String)
    case unknownKey(file: String, line: Int, key: String, nearest: String?)
    /// `place` is "FILE, line N", "TIANKONG_…" or a flag.
    case badValue(place: String, key: String, expected: String, found: String)
    /// A value of the contract that this version cannot honour yet.
    case notBuilt(place: String, key: String, found: String, available: String)

    public var message: Bilingual {
        switch self {
        case .unreadable(let error): error.message
        case .syntax(let file, let line, let problem):
            Bilingual("\(file), line \(line): expected YAML, found: \(problem)", zh: "\(file) 第 \(line) 行：不是合法的 YAML：\(problem)")
        case .duplicateKey(let file, let line, let key):
            Bilingual("\(file), line \(line): the key \(key) stands there twice", zh: "\(file) 第 \(line) 行：键 \(key) 重复")
        case .unknownKey(let file, let line, let key, _):
            Bilingual("\(file), line \(line): there is no key \(key)", zh: "\(file) 第 \(line) 行：没有名为 \(key) 的键")
        case .badValue(let place, let key, let expected, let found):
            Bilingual("\(place): \(key): expected \(expected), found \(found)", zh: "\(place)：\(key)：应为 \(expected)，实为 \(found)")
        case .notBuilt(let place, let key, let found, let available):
            Bilingual(
                "\(place): \(key): \(found) is not built yet; expected \(available)",
                zh: "\(place)：\(key)：\(found) 尚未实现，目前可用：\(available)")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .unreadable(let error): error.hint
        case .unknownKey(_, _, _, let nearest?): Bilingual("did you mean \(nearest)?", zh: "是否想写 \(nearest)？")
        case .unknownKey, .syntax, .duplicateKey:
            Bilingual(
                "etc/tiankong/tiankong.yaml lists every key with its default",
                zh: "etc/tiankong/tiankong.yaml 列出了所有键及默认值")
        case .badValue, .notBuilt: nil
        }
    }

    public var detail: Detail? {
        switch self {
        case .badValue(_, let key, let expected, let found): Detail(field: key, expected: expected, found: found)
        case .notBuilt(_, let key, let found, let available): Detail(field: key, expected: available, found: found)
        case .unknownKey(_, _, let key, let nearest): Detail(field: key, expected: nearest ?? "a known key", found: key)
        default: nil
        }
    }
}

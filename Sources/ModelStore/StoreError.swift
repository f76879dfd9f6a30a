public import Disk
public import Explain
public import ModelFormat
public import PatchFormat

public enum StoreError: Explained {
    case disk(DiskError)
    case format(ModelFormatError)
    /// Another process has the store: a service, or an import that runs.
    case inUse(store: String)
    case noSpace(store: String, needed: Int, free: Int)
    /// A manifest or a pointer of the store is not what we wrote.
    case damaged(file: String, expected: String, found: String)
    case unknownVersion(String)
    case ambiguous(String, [String])
    case patch(PatchError)
    case noMemory(needed: Int, available: Int)
    /// There is no version to go back to.
    case noSnapshot

    public var message: Bilingual {
        switch self {
        case .disk(let error): error.message
        case .format(let error): error.message
        case .inUse(let store):
            Bilingual("\(store): a running tiankong has this store open", zh: "\(store)：正被运行中的 tiankong 使用")
        case .noSpace(let store, let needed, let free):
            Bilingual(
                "\(store): expected \(needed) bytes of free space, found \(free)",
                zh: "\(store)：需要 \(needed) 字节可用空间，实有 \(free) 字节")
        case .damaged(let file, let expected, let found):
            Bilingual("\(file): expected \(expected), found \(found)", zh: "\(file)：应为 \(expected)，实为 \(found)")
        case .unknownVersion(let version):
            Bilingual("version \(version): expected in the store, found nothing", zh: "版本 \(version)：不在库中")
        case .ambiguous(let name, let versions):
            Bilingual(
                "version \(name): expected one, found " + versions.joined(separator: ", "),
                zh: "版本 \(name)：应唯一，实有 " + versions.joined(separator: "、"))
        case .patch(let error): error.message
        case .noMemory(let needed, let available):
            Bilingual(
                "memory: expected \(needed) bytes available, found \(available)", zh: "内存：需要 \(needed) 字节可用，实有 \(available) 字节")
        case .noSnapshot:
            Bilingual(
                "snapshot: expected a version before this one, found none", zh: "快照：没有可回到的上一版本")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .disk(let error): error.hint
        case .format(let error): error.hint
        case .inUse:
            Bilingual("go through the service: name its --socket", zh: "请通过服务操作：用 --socket 指定其套接字")
        case .noSpace: Bilingual("free some space, or name another --state", zh: "请腾出空间，或用 --state 指定别处")
        case .damaged: Bilingual("import the model again", zh: "请重新导入模型")
        case .unknownVersion, .ambiguous: Bilingual("tiankong versions lists them", zh: "可用 tiankong versions 查看")
        case .patch(let error): error.hint
        case .noMemory: Bilingual("it is tried again later", zh: "稍后会重试")
        case .noSnapshot: Bilingual("name a version: rollback --to VERSION", zh: "请指定版本：rollback --to 版本")
        }
    }

    public var detail: Detail? {
        switch self {
        case .format(let error): error.detail
        case .patch(let error): error.detail
        case .noSpace(let store, let needed, let free):
            Detail(field: store, expected: "\(needed) bytes free", found: "\(free)")
        case .damaged(let file, let expected, let found): Detail(field: file, expected: expected, found: found)
        default: nil
        }
    }
}

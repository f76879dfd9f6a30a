public import Explain
import Glibc

/// What the operating system, or the fault plan in its place, refused.
public enum DiskError: Explained, Equatable {
    /// A call failed. `call` is its name as in section 2 of the manual, `code` its errno.
    case system(call: String, path: String, code: Int32)
    /// The path is not an ordinary file (a folder, link, FIFO, socket or device).
    case notRegular(path: String, found: String)
    /// More bytes than the caller allows in memory or in a field of a format.
    case tooLarge(path: String, limit: Int, found: Int)
    /// Somebody else holds the lock.
    case locked(path: String)

    public var message: Bilingual {
        switch self {
        case .system(let call, let path, let code):
            Bilingual("\(path): \(call) failed: \(Self.text(code))", zh: "\(path)：\(call) 失败：\(Self.text(code))")
        case .notRegular(let path, let found):
            Bilingual("\(path): expected an ordinary file, found \(found)", zh: "\(path)：应为普通文件，实为 \(found)")
        case .tooLarge(let path, let limit, let found):
            Bilingual(
                "\(path): expected at most \(limit) bytes, found \(found)", zh: "\(path)：应不超过 \(limit) 字节，实为 \(found) 字节")
        case .locked(let path):
            Bilingual("\(path): another tiankong holds this lock", zh: "\(path)：另一个 tiankong 正占用此锁")
        }
    }

    public var hint: Bilingual? {
        switch self {
        case .system(_, _, ENOENT): Bilingual("check the path", zh: "请检查路径")
        case .system(_, _, EACCES), .system(_, _, EPERM):
            Bilingual("check the permissions of the file and of its folders", zh: "请检查文件及上级目录的权限")
        case .system(_, _, ENOSPC), .system(_, _, EDQUOT): Bilingual("free some space", zh: "请腾出磁盘空间")
        case .system(_, _, ELOOP): Bilingual("a link points back to itself", zh: "符号链接成环")
        default: nil
        }
    }

    private static func text(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "errno \(code)" }
        return buffer.withUnsafeBufferPointer { "\(String(cString: $0.baseAddress!)) (errno \(code))" }
    }
}

extension DiskError {
    /// What was asked for is not there, or is not a file.
    public var isOfReading: Bool {
        switch self {
        case .notRegular, .tooLarge: true
        case .system(let call, _, let code): (code == ENOENT || code == EISDIR) && (call == "open" || call == "read")
        case .locked: false
        }
    }

    /// No space or no quota is left.
    public var isFull: Bool {
        if case .system(_, _, let code) = self { code == ENOSPC || code == EDQUOT } else { false }
    }
}

import Disk
import Explain
import Glibc

/// The programs of the hooks folder, and what in it is not run and why.
struct HookFolder: Sendable {
    /// Not run, for what could be in it.
    struct Refusal: Sendable, Equatable, Explained {
        let path: String
        let expected: Bilingual
        let found: Bilingual

        var message: Bilingual {
            Bilingual("\(path): expected \(expected.en), found \(found.en)", zh: "\(path)：应为\(expected.zh)，实为\(found.zh)")
        }
        var hint: Bilingual? {
            Bilingual("sudo chown root '\(path)'; sudo chmod go-w '\(path)'", zh: "sudo chown root '\(path)'；sudo chmod go-w '\(path)'")
        }
    }

    /// Paths, in the order in which they are run.
    private(set) var programs: [String] = []
    private(set) var refusals: [Refusal] = []
    /// Files that nobody may execute: a README, or a hook that was switched off.
    private(set) var idle = 0

    init(_ folder: String) {
        guard Disk().isFolder(folder) else { return }
        if let refusal = Self.refusal(of: folder, as: S_IFDIR) {
            refusals = [refusal]
            return
        }
        guard let names = try? FolderHandle(folder).names() else { return }
        for name in names where !Self.isPassedOver(name) {
            let path = folder + "/" + name
            if let refusal = Self.refusal(of: path, as: S_IFREG) {
                refusals.append(refusal)
            } else if Self.status(of: path).map({ $0.st_mode & 0o111 != 0 }) ?? false, access(path, X_OK) == 0 {
                programs.append(path)
            } else {
                idle += 1
            }
        }
    }

    /// What editors and package tools leave behind.
    private static func isPassedOver(_ name: String) -> Bool {
        name.hasPrefix(".") || name.hasSuffix("~") || name.hasSuffix(".bak") || name.contains(".dpkg-")
    }

    private static func status(of path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    /// Whoever may change it could make the service's user run anything.
    private static func refusal(of path: String, as kind: mode_t) -> Refusal? {
        guard let status = status(of: path) else { return nil }
        func refused(_ expected: Bilingual, _ found: Bilingual) -> Refusal { Refusal(path: path, expected: expected, found: found) }
        guard status.st_mode & S_IFMT == kind else {
            let expected = kind == S_IFDIR ? Bilingual("a folder", zh: "目录") : Bilingual("an ordinary file", zh: "普通文件")
            return refused(expected, Bilingual("something else, such as a link", zh: "其他类型（如符号链接）"))
        }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            return refused(
                Bilingual("root or the service's user as its owner", zh: "root 或服务用户所有"), Bilingual("uid \(status.st_uid)", zh: "uid \(status.st_uid)"))
        }
        guard status.st_mode & 0o022 == 0 else {
            let mode = String(status.st_mode & 0o7777, radix: 8)
            return refused(Bilingual("writable by its owner alone", zh: "仅所有者可写"), Bilingual("mode \(mode)", zh: "权限 \(mode)"))
        }
        return nil
    }
}

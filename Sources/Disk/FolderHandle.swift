import Glibc

/// A folder that others may write to, held open: what is done goes to that very folder, whatever its name stands for
/// meanwhile, and no link in it is ever followed.
public final class FolderHandle: Sendable {
    /// What a name in it stands for.
    public struct Entry: Sendable, Equatable {
        /// Raw values are for messages.
        public enum Kind: String, Sendable, Equatable {
            case file = "a file"
            case link = "a symbolic link"
            case folder = "a folder"
            case fifo = "a FIFO"
            case socket = "a socket"
            case device = "a device"
        }
        public let kind: Kind
        public let inode: UInt64
        public let size: Int
        /// Nanoseconds since 1970: contents, and anything at all.
        public let modified: Int
        public let changed: Int

        public init(kind: Kind, inode: UInt64, size: Int, modified: Int, changed: Int) {
            (self.kind, self.inode, self.size, self.modified, self.changed) = (kind, inode, size, modified, changed)
        }
    }

    public let path: String
    private let descriptor: Int32

    public init(_ path: String) throws(DiskError) {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .system(call: "open", path: path, code: errno) }
        self.path = path
        descriptor = folder
    }

    deinit { close(descriptor) }

    /// Names, sorted by bytes; one that is no UTF-8 comes repaired and cannot be opened.
    public func names() throws(DiskError) -> [String] {
        // A descriptor of its own: closedir would close ours, and its position is its own.
        let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0, let directory = fdopendir(copy) else { throw .system(call: "fdopendir", path: path, code: errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// nil where nothing has that name.
    public func entry(_ name: String) -> Entry? {
        var status = stat()
        guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        func nanoseconds(_ time: timespec) -> Int { time.tv_sec * 1_000_000_000 + time.tv_nsec }
        return Entry(
            kind: Self.kind(status.st_mode), inode: UInt64(status.st_ino),
            size: Int(status.st_size), modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim))
    }

    private static func kind(_ mode: mode_t) -> Entry.Kind {
        switch mode & S_IFMT {
        case S_IFREG: .file
        case S_IFLNK: .link
        case S_IFDIR: .folder
        case S_IFIFO: .fifo
        case S_IFSOCK: .socket
        default: .device
        }
    }

    /// Whether its path still leads here.
    public var isInPlace: Bool {
        var (here, there) = (stat(), stat())
        return fstat(descriptor, &here) == 0 && stat(path, &there) == 0
            && here.st_dev == there.st_dev && here.st_ino == there.st_ino
    }

    /// Up to `count` bytes from the beginning. Never blocks, never follows a link.
    public func read(_ name: String, first count: Int) throws(DiskError) -> [UInt8] {
        try opened(name) { file throws(DiskError) in
            var bytes = [UInt8](repeating: 0, count: count)
            let found = pread(file, &bytes, count, 0)
            guard found >= 0 else { throw .system(call: "read", path: path + "/" + name, code: errno) }
            return Array(bytes[..<found])
        }
    }

    /// Copies the file to a new one of our own, at most `limit` bytes. Not synced: a copy is of no use after a restart.
    public func copy(_ name: String, to target: String, atMost limit: Int, disk: Disk) throws(DiskError) {
        try opened(name) { source throws(DiskError) in
            do throws(DiskError) {
                try disk.writeNew(to: target, mode: 0o600, synced: false) { file throws(DiskError) in
                    var buffer = [UInt8](repeating: 0, count: 1 << 20)
                    var copied = 0
                    while true {
                        let count = Glibc.read(source, &buffer, buffer.count)
                        guard count >= 0 else { throw .system(call: "read", path: path + "/" + name, code: errno) }
                        if count == 0 { return }
                        copied += count
                        guard copied <= limit else { throw .tooLarge(path: path + "/" + name, limit: limit, found: copied) }
                        try file.write(count == buffer.count ? buffer : Array(buffer[..<count]))
                    }
                }
            } catch {
                unlink(target)
                throw error
            }
        }
    }

    private func opened<Value>(_ name: String, _ body: (Int32) throws(DiskError) -> Value) throws(DiskError) -> Value {
        let file = openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { throw .system(call: "open", path: path + "/" + name, code: errno) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .notRegular(path: path + "/" + name, found: "something else")
        }
        return try body(file)
    }

    /// Puts a small file there by a temporary name and rename, over whatever has the name, a link included.
    public func replace(_ name: String, with bytes: [UInt8], mode: UInt32 = 0o644, disk: Disk) throws(DiskError) {
        let temporary = ".\(name).\(UInt32.random(in: .min ... .max)).tmp"
        let file = try disk.change("open", path + "/" + temporary) {
            openat(descriptor, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        }
        defer { close(file) }
        do throws(DiskError) {
            let written = try disk.change("write", path + "/" + name) {
                bytes.withUnsafeBytes { Int32(clamping: write(file, $0.baseAddress, $0.count)) }
            }
            // Small files are written at once or not at all.
            guard Int(written) == bytes.count else { throw .system(call: "write", path: path + "/" + name, code: ENOSPC) }
            _ = try disk.change("fsync", path + "/" + name) { fsync(file) }
            _ = try disk.change("rename", path + "/" + name) { renameat(descriptor, temporary, descriptor, name) }
        } catch {
            unlinkat(descriptor, temporary, 0)
            throw error
        }
    }

    /// Removes temporary names that an interrupted `replace` left.
    ///
    /// - Parameter suffix: of the names that were to be replaced.
    public func removeLeftovers(of suffix: String) throws(DiskError) {
        for name in try names() where name.hasPrefix(".") && name.hasSuffix(".tmp") && name.contains(suffix + ".") {
            unlinkat(descriptor, name, 0)
        }
    }
}

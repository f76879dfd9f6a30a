import Glibc
import Synchronization

/// The one door to files: everything that is opened, written, synced, renamed or removed goes through here.
///
/// Every call that changes the disk is a numbered step, and a `FaultPlan` can make step n fail. That is how each crash
/// is tested: fail at n, for every n, then start again and look.
///
/// Durable means: the bytes are on the disk, and so is the name. A file is written under a temporary name in its own
/// folder, synced, renamed, and the folder synced; a reader finds the old file or the new one, never between.
public struct Disk: Sendable {
    private let faults: FaultPlan?

    public init(faults: FaultPlan? = nil) {
        self.faults = faults
    }

    /// A step that somebody else takes (SQLite): only for the fault plan.
    public func step(_ call: String, _ path: String) throws(DiskError) {
        _ = try change(call, path) { 0 }
    }

    /// One system call that changes the disk; counts as a step of the fault plan.
    func change(_ call: String, _ path: String, _ body: () -> Int32) throws(DiskError) -> Int32 {
        if let code = faults?.next() { throw .system(call: call, path: path, code: code) }
        let result = body()
        guard result >= 0 else { throw .system(call: call, path: path, code: errno) }
        return result
    }
}

// MARK: - Reading

extension Disk {
    /// The whole file, ordinary files only. Links are followed; a loop is an error.
    public func read(_ path: String, atMost limit: Int) throws(DiskError) -> [UInt8] {
        let file = try MappedFile(path)
        guard file.count <= limit else { throw .tooLarge(path: path, limit: limit, found: file.count) }
        return file.withBytes { [UInt8]($0) }
    }

    /// Whether something is there; a link that leads nowhere counts as something.
    public func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    public func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Another number whenever the file is another one or was changed; 0 where there is none.
    public func stamp(of path: String) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { return 0 }
        var hasher = Hasher()
        for value in [Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec] {
            hasher.combine(value)
        }
        return hasher.finalize()
    }

    /// Names in the folder, sorted by bytes, without `.` and `..`.
    public func list(_ folder: String) throws(DiskError) -> [String] {
        guard let directory = opendir(folder) else { throw .system(call: "opendir", path: folder, code: errno) }
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

    /// Paths of all files beneath the folder.
    public func listAll(_ folder: String) throws(DiskError) -> [String] {
        var paths: [String] = []
        for name in try list(folder) {
            let path = folder + "/" + name
            if isFolder(path) { paths += try listAll(path) } else { paths.append(path) }
        }
        return paths
    }

    /// Bytes the machine can still give without swapping: MemAvailable of /proc/meminfo (proc(5)), and what the control
    /// group leaves; nil where neither says.
    public func availableMemory() -> Int? {
        let limits = [field("MemAvailable:", of: "/proc/meminfo").map { $0 * 1024 }, groupMemory()]
        return limits.compactMap { $0 }.min()
    }

    /// Of all processors since the machine's start, in clock ticks: the first line of /proc/stat (proc_stat(5)).
    public func processorTimes() -> (idle: Int, all: Int)? {
        guard let line = proc("/proc/stat")?.split(separator: "\n").first else { return nil }
        // user nice system idle iowait irq softirq steal; what guests use is in user already.
        let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { Int($0) }
        return ticks.count >= 5 ? (ticks[3] + ticks[4], ticks.reduce(0, +)) : nil
    }

    private func groupMemory() -> Int? {
        guard let limit = number("/sys/fs/cgroup/memory.max"), let used = number("/sys/fs/cgroup/memory.current") else { return nil }
        return max(0, limit - used)
    }

    private func number(_ path: String) -> Int? {
        proc(path).flatMap { Int($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }

    private func field(_ name: String, of path: String) -> Int? {
        let line = proc(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") }
    }

    /// Files of /proc and /sys have no length to map.
    private func proc(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = Glibc.read(file, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Bytes an ordinary user may still write to the file system of that path.
    public func freeBytes(at path: String) throws(DiskError) -> Int {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw .system(call: "statvfs", path: path, code: errno) }
        return Int(status.f_bavail) * Int(status.f_frsize)
    }
}

// MARK: - Changing

extension Disk {
    /// Makes the folder and those above it; one that is there is left as it is.
    public func makeFolder(_ path: String, mode: UInt32 = 0o755) throws(DiskError) {
        if isFolder(path) { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeFolder(String(path[..<slash]), mode: mode)
        }
        _ = try change("mkdir", path) { mkdir(path, mode) == 0 || (errno == EEXIST && isFolder(path)) ? 0 : -1 }
    }

    /// Writes the file durably; whatever had that name is replaced in one step.
    public func writeDurably(
        _ bytes: UnsafeRawBufferPointer, to path: String, mode: UInt32 = 0o644
    ) throws(DiskError) {
        let temporary = path + ".partial"
        do {
            try writeNew(bytes, to: temporary, mode: mode)
            _ = try change("rename", path) { Glibc.rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw error
        }
        try syncFolder(of: path)
    }

    public func writeDurably(_ text: String, to path: String, mode: UInt32 = 0o644) throws(DiskError) {
        try writeDurably(Array(text.utf8), to: path, mode: mode)
    }

    public func writeDurably(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o644) throws(DiskError) {
        let written: Result<Void, DiskError> = bytes.withUnsafeBytes { raw in
            Result { () throws(DiskError) in try writeDurably(raw, to: path, mode: mode) }
        }
        try written.get()
    }

    /// Writes and syncs a file under its final name: for names that nothing refers to yet.
    public func writeNew(_ bytes: UnsafeRawBufferPointer, to path: String, mode: UInt32 = 0o644) throws(DiskError) {
        try writeNew(to: path, mode: mode) { file throws(DiskError) in try file.write(bytes) }
    }

    public func writeNew(_ text: String, to path: String, mode: UInt32 = 0o644) throws(DiskError) {
        try writeNew(to: path, mode: mode) { file throws(DiskError) in try file.write(Array(text.utf8)) }
    }

    /// The same, piece by piece.
    public func writeNew(
        to path: String, mode: UInt32 = 0o644, synced: Bool = true, _ body: (NewFile) throws(DiskError) -> Void
    ) throws(DiskError) {
        unlink(path)
        let file = try change("create", path) { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode) }
        defer { close(file) }
        try body(NewFile(disk: self, path: path, descriptor: file))
        if synced { _ = try change("fsync", path) { fsync(file) } }
    }

    /// A file that is being written; only within `writeNew`.
    public struct NewFile {
        fileprivate let disk: Disk
        fileprivate let path: String
        fileprivate let descriptor: Int32

        /// A call is not interrupted by who would like the core (PREEMPT_NONE), so none is long.
        private static let piece = 1 << 20

        public func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) {
            var written = 0
            while written < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
                written += Int(
                    try disk.change("write", path) {
                        Int32(clamping: Glibc.write(descriptor, rest.baseAddress, min(rest.count, Self.piece)))
                    })
            }
        }

        public func write(_ bytes: [UInt8]) throws(DiskError) {
            let outcome: Result<Void, DiskError> = bytes.withUnsafeBytes { raw in
                Result { () throws(DiskError) in try write(raw) }
            }
            try outcome.get()
        }
    }

    /// Another name for the same file.
    public func link(_ path: String, to other: String) throws(DiskError) {
        _ = try change("link", other) { Glibc.link(path, other) }
    }

    public func rename(_ path: String, to target: String) throws(DiskError) {
        try renameUnsynced(path, to: target)
        try syncFolder(of: target)
    }

    /// For many files of one folder, which the caller syncs once, before anything refers to them.
    public func renameUnsynced(_ path: String, to target: String) throws(DiskError) {
        _ = try change("rename", target) { Glibc.rename(path, target) }
    }

    /// Removes a file or a whole folder; one that is not there is fine.
    public func remove(_ path: String) throws(DiskError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in try list(path) { try remove(path + "/" + name) }
            _ = try change("rmdir", path) { rmdir(path) }
        } else {
            _ = try change("unlink", path) { unlink(path) }
        }
    }

    /// Makes the names in the folder of `path` durable.
    public func syncFolder(of path: String) throws(DiskError) {
        let slash = path.lastIndex(of: "/")
        try syncFolder(slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? ".")
    }

    public func syncFolder(_ folder: String) throws(DiskError) {
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .system(call: "open", path: folder, code: errno) }
        defer { close(directory) }
        _ = try change("fsync", folder) { fsync(directory) }
    }
}

/// Makes the n-th change of the disk fail.
public final class FaultPlan: Sendable {
    public enum Fault: Sendable, Hashable {
        /// That step and every later one, as a full or dying disk does; with this errno.
        case lasting(Int32)
        /// That step alone.
        case once(Int32)
        /// The process ends there and then, as by a power cut.
        case kill
    }

    private let state: Mutex<(step: Int, failsAt: Int)>
    private let fault: Fault

    /// - Parameters:
    ///   - step: the first step that fails, counted from 0; nil only counts.
    ///   - fault: how; EIO from there on unless told.
    public init(failingAt step: Int?, _ fault: Fault = .lasting(5)) {
        state = Mutex((0, step ?? .max))
        self.fault = fault
    }

    public var steps: Int { state.withLock { $0.step } }

    func next() -> Int32? {
        let (step, failsAt) = state.withLock { state in
            defer { state.step += 1 }
            return state
        }
        switch fault {
        case .lasting(let code): return step >= failsAt ? code : nil
        case .once(let code): return step == failsAt ? code : nil
        case .kill:
            if step >= failsAt { kill(getpid(), SIGKILL) }
            return nil
        }
    }
}

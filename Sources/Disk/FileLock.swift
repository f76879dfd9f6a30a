import Glibc

/// An advisory lock (flock(2)) on a file, held until the process ends or the last holder lets go.
public final class FileLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `.locked` at once when another process holds it; it never waits.
    public init(_ path: String) throws(DiskError) {
        // Ours only once it is locked: what throws after its last property is set is deinitialized, and would close the
        // file a second time, which by then may be another thread's.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw .system(call: "open", path: path, code: errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(file)
            throw code == EWOULDBLOCK ? .locked(path: path) : .system(call: "flock", path: path, code: code)
        }
        descriptor = file
    }

    deinit { close(descriptor) }
}

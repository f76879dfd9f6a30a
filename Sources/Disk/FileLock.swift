import Glibc

/// An advisory lock (flock(2)) on a file, held until the process ends or the last holder lets go.
public final class FileLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `.locked` at once when another process holds it; it never waits.
    public init(_ path: String) throws(DiskError) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw .system(call: "open", path: path, code: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            throw code == EWOULDBLOCK ? .locked(path: path) : .system(call: "flock", path: path, code: code)
        }
    }

    deinit { close(descriptor) }
}

import Glibc

/// Bytes that stay where they are for as long as somebody holds the owner: a mapped file, or data inside the binary.
///
/// `@unchecked Sendable`: the pointer is to read-only memory that is never changed or moved while the object lives
/// (mapped files of ours are private, immutable and only ever replaced by rename), so any thread may read it.
public class SharedBytes: @unchecked Sendable {
    /// Only while somebody is known to hold this object: a local variable is let go after its last use, which may be
    /// this very line. For everything short-lived there is `withBytes`.
    public let addressWhileHeld: UnsafeRawBufferPointer

    /// - Parameter bytes: memory that is never freed or changed, as a constant of the binary is.
    public init(immortal bytes: UnsafeRawBufferPointer) {
        addressWhileHeld = bytes
    }

    public var count: Int { addressWhileHeld.count }

    /// The bytes, held for as long as `body` runs.
    public func withBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        defer { withExtendedLifetime(self) {} }
        return try body(addressWhileHeld)
    }
}

/// An ordinary file, mapped read-only and whole; unmapped when the last holder lets go.
public final class MappedFile: SharedBytes, @unchecked Sendable {
    public let path: String

    /// Opens without blocking (a FIFO would wait for its writer for ever) and without changing the access time's owner.
    public init(_ path: String, followingLinks: Bool = true) throws(DiskError) {
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (followingLinks ? 0 : O_NOFOLLOW)
        let file = open(path, flags)
        guard file >= 0 else { throw .system(call: "open", path: path, code: errno) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .system(call: "fstat", path: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .notRegular(path: path, found: Self.kind(status.st_mode))
        }
        self.path = path
        super.init(immortal: try Self.map(file, Int(status.st_size), path))
    }

    deinit {
        if count > 0 { munmap(UnsafeMutableRawPointer(mutating: addressWhileHeld.baseAddress), count) }
    }

    private static func map(_ file: Int32, _ count: Int, _ path: String) throws(DiskError) -> UnsafeRawBufferPointer {
        guard count > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let address = mmap(nil, count, PROT_READ, MAP_SHARED, file, 0)
        guard let address, address != MAP_FAILED else { throw .system(call: "mmap", path: path, code: errno) }
        return UnsafeRawBufferPointer(start: address, count: count)
    }

    private static func kind(_ mode: mode_t) -> String {
        switch mode & S_IFMT {
        case S_IFDIR: "a folder"
        case S_IFIFO: "a FIFO"
        case S_IFSOCK: "a socket"
        case S_IFCHR, S_IFBLK: "a device"
        default: "something else"
        }
    }
}

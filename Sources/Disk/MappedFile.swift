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

    /// What was read is no longer counted as ours; it is there again when it is read again. For a mapped file alone.
    public func letGo() {}

    /// The bytes, held for as long as `body` runs.
    public func withBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        defer { withExtendedLifetime(self) {} }
        return try body(addressWhileHeld)
    }
}

/// An ordinary file, mapped read-only and whole; unmapped when the last holder lets go.
///
/// `@unchecked Sendable` as `SharedBytes` is: `path` is a constant, and `letGo` changes which pages are resident, not what they hold.
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

    public override func letGo() {
        if count > 0 { madvise(UnsafeMutableRawPointer(mutating: addressWhileHeld.baseAddress), count, MADV_DONTNEED) }
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

/// An ordinary file, mapped with changes of our own that never reach it: only the pages that differ take memory.
///
/// `@unchecked Sendable` as `SharedBytes` is: changes are made in `init`, and then the mapping is read-only.
public final class OverlaidFile: SharedBytes, @unchecked Sendable {
    /// - Parameter change: writes the changes; ends before anyone else can see the bytes.
    public init<Failure: Error>(
        _ path: String, change: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(OverlayError<Failure>) {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw .disk(.system(call: "open", path: path, code: errno)) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else {
            throw .disk(.notRegular(path: path, found: "something else"))
        }
        let count = Int(status.st_size)
        guard let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0), address != MAP_FAILED else {
            throw .disk(.system(call: "mmap", path: path, code: errno))
        }
        do { try change(UnsafeMutableRawBufferPointer(start: address, count: count)) } catch {
            munmap(address, count)
            throw .change(error)
        }
        mprotect(address, count, PROT_READ)
        super.init(immortal: UnsafeRawBufferPointer(start: address, count: count))
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: addressWhileHeld.baseAddress), count) }
}

public enum OverlayError<Failure: Error>: Error {
    case disk(DiskError)
    case change(Failure)
}

/// Memory of our own, filled once. Freed when the last holder lets go.
///
/// `@unchecked Sendable` as `SharedBytes` is: `fill` ends before anyone else can see the memory, and nothing writes to it after.
public final class HeapBytes: SharedBytes, @unchecked Sendable {
    /// - Parameter count: bytes, aligned to 64 for vectors.
    public init<Failure: Error>(
        count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 64)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
        do { try fill(bytes) } catch {
            memory.deallocate()
            throw error
        }
        super.init(immortal: UnsafeRawBufferPointer(bytes))
    }

    deinit { addressWhileHeld.deallocate() }
}

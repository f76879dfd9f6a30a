import Synchronization

/// Memory in which tensors are made one after the other, kept until the last of them is.
///
/// A fresh page costs the kernel 0.4 to 0.8 µs, more than everything that is computed in it: with new memory for every
/// tensor half of a merge's time went there. Give the largest frames first, and all others fit where they were.
public final class MergeRoom: Sendable {
    /// `@unchecked Sendable`: a buffer is either in `free` or lent to the one `with` that took it out under the mutex.
    private struct Buffer: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }

    private let free = Mutex<[Buffer]>([])

    public init() {}

    deinit { free.withLock { $0.forEach { $0.bytes.deallocate() } } }

    /// `count` bytes, for as long as `body` runs; what is in them is arbitrary.
    func with<Value, Failure: Error>(
        _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let buffer = take(count)
        defer { free.withLock { $0.append(buffer) } }
        return try body(UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]))
    }

    /// The smallest one that fits; else one that does not makes way for a larger one, so that there are never more than
    /// were wanted at once.
    private func take(_ count: Int) -> Buffer {
        let found = free.withLock { free -> Buffer? in
            let fitting = free.indices.filter { free[$0].bytes.count >= count }.min { free[$0].bytes.count < free[$1].bytes.count }
            return (fitting ?? free.indices.last).map { free.remove(at: $0) }
        }
        if let found, found.bytes.count >= count { return found }
        found?.bytes.deallocate()
        // Aligned to 64 for vectors.
        return Buffer(bytes: .allocate(byteCount: max(count, 1), alignment: 64))
    }
}

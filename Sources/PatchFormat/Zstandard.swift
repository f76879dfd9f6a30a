import CZstd

/// One zstd frame at a time (RFC 8878), whole: sizes are known beforehand, so nothing is buffered that is not the result.
enum Zstandard {
    static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// - Returns: bytes written to `target`, which holds `bound` of them.
    static func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, level: Int32) -> Int? {
        let size = ZSTD_compress(target.baseAddress, target.count, source.baseAddress, source.count, level)
        return ZSTD_isError(size) != 0 ? nil : size
    }

    /// - Returns: nil where `source` is not exactly one frame of exactly `target.count` bytes.
    static func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
        // Skippable frames count as frames for zstd; a tensor's frame is none of them.
        guard source.count >= 4, source.loadUnaligned(as: UInt32.self).littleEndian == ZSTD_MAGICNUMBER else { return false }
        guard ZSTD_findFrameCompressedSize(source.baseAddress, source.count) == source.count else { return false }
        let size = ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
        return ZSTD_isError(size) == 0 && size == target.count
    }
}

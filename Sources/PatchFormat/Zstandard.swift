import CZstd

/// One zstd frame at a time (RFC 8878), whole: sizes are known beforehand, so nothing is buffered that is not the result.
enum Zstandard {
    static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// Differences have hardly anything that repeats, but very uneven bytes: matches shorter than 7 are chance, and cost
    /// more than the bytes themselves. Above level 9 each further per cent costs five times the time.
    ///
    /// - Returns: bytes written to `target`, which holds `bound` of them; nil where memory lacks.
    static func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, level: Int32 = 9) -> Int? {
        guard let context = ZSTD_createCCtx() else { return nil }
        defer { ZSTD_freeCCtx(context) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
        ZSTD_CCtx_setParameter(context, ZSTD_c_minMatch, 7)
        let size = ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
        return ZSTD_isError(size) != 0 ? nil : size
    }

    /// - Returns: false where `source` is not exactly one frame that says it holds `target.count` bytes and does.
    static func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
        guard isPlain(source, holding: target.count),
            ZSTD_findFrameCompressedSize(source.baseAddress, source.count) == source.count
        else { return false }
        let size = ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
        return ZSTD_isError(size) == 0 && size == target.count
    }

    /// What `zstd -t` takes without being asked to.
    private static let largestWindow = 128 << 20

    /// Whether a frame's header (RFC 8878, section 3.1.1.1) has nothing in it that is for nobody: no dictionary, no
    /// reserved bit, no other size than that of its contents if it states one, no window that other readers refuse. Ours
    /// is not taken: it is unpacked in one piece. Skippable frames, which count as frames for zstd, begin otherwise.
    ///
    ///     0  u32  magic
    ///     4  u8   descriptor: size's kind (2 bits) · single segment · unused · reserved · checksum · dictionary (2)
    ///     5  u8   window: exponent (5) · mantissa (3); absent in a single segment
    ///     .. size of the contents: 0, 1, 2 (less 256), 4 or 8 bytes
    private static func isPlain(_ source: UnsafeRawBufferPointer, holding count: Int) -> Bool {
        guard source.count >= 6, source.loadUnaligned(as: UInt32.self).littleEndian == ZSTD_MAGICNUMBER else { return false }
        let (descriptor, isSingle) = (source[4], source[4] & 0x20 != 0)
        guard descriptor & 0x1B == 0 else { return false }
        let kind = Int(descriptor >> 6)
        let (start, width) = (isSingle ? 5 : 6, kind == 0 ? (isSingle ? 1 : 0) : 1 << kind)
        guard source.count >= start + width else { return false }
        let size = (0..<width).reduce(UInt64(kind == 1 ? 256 : 0)) { $0 &+ UInt64(source[start + $1]) << (8 * UInt64($1)) }
        guard width == 0 || size == UInt64(count) else { return false }
        let base = 1 << (10 + Int(source[5] >> 3))
        return isSingle || base + base / 8 * Int(source[5] & 7) <= largestWindow
    }
}

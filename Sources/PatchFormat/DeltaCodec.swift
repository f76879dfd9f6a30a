import CPatchCodec
import ModelFormat

/// The two encodings of a difference, both taken on fp32. The loops are C (CPatchCodec); this is its only door, and
/// sizes are checked here.
///
/// `exact`: floats are mapped to integers that keep their order (a negative one's bits inverted, a positive one's sign
/// bit set); the difference modulo 2³² is zigzagged (0, −1, 1, −2 … → 0, 1, 2, 3 …) and stored as four planes of bytes,
/// the lowest first. What moves little leaves the upper planes nearly empty.
///
/// `compact`: a scale a row (fp32), then a signed byte an element: result = base + scale·code, in two roundings to
/// nearest even, without fused multiply-add. The scale is an eighth of the row's root mean square, or as much as the
/// largest element needs.
enum DeltaCodec {
    /// Makes the tensor that `frame` describes.
    ///
    /// - Returns: whether all of it is finite.
    static func apply(
        _ contents: UnsafeRawBufferPointer, of frame: PatchFrame, to base: StoredTensor, into result: UnsafeMutableRawBufferPointer
    ) -> Bool {
        precondition(base.count == frame.count && result.count == frame.count * frame.dtype.width && result.count > 0)
        precondition(contents.count == (frame.encoding == .exact ? 4 * frame.count : frame.count + 4 * frame.rowCount))
        let (made, type) = (result.bytes, frame.dtype.code)
        return base.withBytes { source in
            if frame.encoding == .exact {
                return tk_patch_apply_exact(source.bytes, base.dtype.code, contents.bytes, frame.count, frame.count, made, type) == 1
            }
            let codes = UnsafeRawBufferPointer(rebasing: contents[(4 * frame.rowCount)...]).codes
            var finite: Int32 = 1
            for row in 0..<frame.rowCount {
                let scale = Float(bitPattern: UInt32(littleEndian: contents.loadUnaligned(fromByteOffset: 4 * row, as: UInt32.self)))
                let start = row * frame.rowLength
                finite &= tk_patch_apply_compact(
                    source.bytes + start * base.dtype.width, base.dtype.code, scale, codes + start, frame.rowLength,
                    made + start * frame.dtype.width, type)
            }
            return finite == 1
        }
    }

    /// - Parameter planes: room for 4 bytes an element.
    static func takeExact(from base: StoredTensor, to target: StoredTensor, into planes: UnsafeMutableRawBufferPointer) {
        precondition(base.count == target.count && planes.count == 4 * target.count && target.count > 0)
        base.withBytes { from in
            target.withBytes { to in
                tk_patch_take_exact(
                    from.bytes, base.dtype.code, to.bytes, target.dtype.code, target.count, planes.bytes, target.count)
            }
        }
    }

    /// - Parameter payload: room for 4 bytes a row and one an element.
    /// - Returns: whether the difference can be written so; what overflows an fp32 cannot.
    static func takeCompact(
        from base: StoredTensor, to target: StoredTensor, rowLength: Int, into payload: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let rows = target.count / rowLength
        precondition(base.count == target.count && payload.count == 4 * rows + target.count && target.count > 0)
        let codes = UnsafeMutableRawBufferPointer(rebasing: payload[(4 * rows)...]).bytes
        return base.withBytes { from in
            target.withBytes { to in
                for row in 0..<rows {
                    let start = row * rowLength
                    let scale = (codes + start).withMemoryRebound(to: Int8.self, capacity: rowLength) { codes in
                        tk_patch_take_compact(
                            from.bytes + start * base.dtype.width, base.dtype.code, to.bytes + start * target.dtype.width,
                            target.dtype.code, rowLength, codes)
                    }
                    guard scale.isFinite else { return false }
                    payload.storeBytes(of: scale.bitPattern.littleEndian, toByteOffset: 4 * row, as: UInt32.self)
                }
                return true
            }
        }
    }

    /// How far a tensor is from the one that was wanted: the largest difference of two elements, and what part the
    /// differences' root mean square is of the wanted elements'.
    static func distance(of made: StoredTensor, from wanted: StoredTensor) -> (largest: Float, relative: Double) {
        precondition(made.count == wanted.count && made.count > 0)
        let distance = made.withBytes { one in
            wanted.withBytes { other in
                tk_patch_distance(one.bytes, made.dtype.code, other.bytes, wanted.dtype.code, made.count)
            }
        }
        let relative = distance.difference_squares == 0 ? 0 : (distance.difference_squares / distance.wanted_squares).squareRoot()
        return (distance.largest, relative)
    }
}

extension DType {
    fileprivate var code: Int32 {
        switch self {
        case .f32: Int32(TK_F32)
        case .f16: Int32(TK_F16)
        case .bf16: Int32(TK_BF16)
        }
    }
}

// Who is asked has checked that there is at least one byte, so there is an address.
extension UnsafeRawBufferPointer {
    fileprivate var bytes: UnsafePointer<UInt8> { baseAddress!.assumingMemoryBound(to: UInt8.self) }
    fileprivate var codes: UnsafePointer<Int8> { baseAddress!.assumingMemoryBound(to: Int8.self) }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate var bytes: UnsafeMutablePointer<UInt8> { baseAddress!.assumingMemoryBound(to: UInt8.self) }
}

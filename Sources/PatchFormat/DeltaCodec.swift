/// The two encodings of a difference, both taken on fp32.
///
/// `exact`: floats are mapped to integers that keep their order (a negative one's bits inverted, a positive one's sign
/// bit set); the difference modulo 2³² is zigzagged (0, −1, 1, −2 … → 0, 1, 2, 3 …) and stored as four planes of bytes,
/// the lowest first. What moves little leaves the upper planes nearly empty.
///
/// `compact`: a scale a row (fp32), then a signed byte an element: result = base + scale·code, in two roundings to
/// nearest even, without fused multiply-add. The scale is an eighth of the row's root mean square, or as much as the
/// largest element needs.
enum DeltaCodec {
    /// - Parameters:
    ///   - base, target: `count` floats each.
    ///   - planes: 4·`count` bytes.
    static func encodeExact(
        base: UnsafePointer<Float>, target: UnsafePointer<Float>, count: Int, planes: UnsafeMutablePointer<UInt8>
    ) {
        for index in 0..<count {
            let difference = Int32(bitPattern: ordered(target[index].bitPattern) &- ordered(base[index].bitPattern))
            let zigzag = UInt32(bitPattern: (difference << 1) ^ (difference >> 31))
            planes[index] = UInt8(truncatingIfNeeded: zigzag)
            planes[count + index] = UInt8(truncatingIfNeeded: zigzag >> 8)
            planes[2 * count + index] = UInt8(truncatingIfNeeded: zigzag >> 16)
            planes[3 * count + index] = UInt8(truncatingIfNeeded: zigzag >> 24)
        }
    }

    static func decodeExact(
        base: UnsafePointer<Float>, planes: UnsafePointer<UInt8>, count: Int, result: UnsafeMutablePointer<Float>
    ) {
        for index in 0..<count {
            let low = UInt32(planes[index]) | UInt32(planes[count + index]) << 8
            let high = UInt32(planes[2 * count + index]) << 16 | UInt32(planes[3 * count + index]) << 24
            let zigzag = low | high
            let difference = (zigzag >> 1) ^ (0 &- (zigzag & 1))
            result[index] = Float(bitPattern: unordered(ordered(base[index].bitPattern) &+ difference))
        }
    }

    private static func ordered(_ bits: UInt32) -> UInt32 {
        bits ^ (UInt32(bitPattern: Int32(bitPattern: bits) >> 31) | 0x8000_0000)
    }

    private static func unordered(_ bits: UInt32) -> UInt32 {
        bits ^ (~UInt32(bitPattern: Int32(bitPattern: bits) >> 31) | 0x8000_0000)
    }

    /// - Parameter payload: 4·rows + rows·length bytes.
    static func encodeCompact(
        base: UnsafePointer<Float>, target: UnsafePointer<Float>, rows: Int, length: Int,
        payload: UnsafeMutableRawPointer
    ) {
        let codes = payload.advanced(by: 4 * rows).assumingMemoryBound(to: Int8.self)
        for row in 0..<rows {
            let start = row * length
            var squares = 0.0
            var largest: Float = 0
            for index in start..<(start + length) {
                let difference = target[index] - base[index]
                squares += Double(difference) * Double(difference)
                largest = max(largest, abs(difference))
            }
            let scale = max(Float((squares / Double(length)).squareRoot()) / 8, largest / 127)
            payload.storeBytes(of: scale.bitPattern.littleEndian, toByteOffset: 4 * row, as: UInt32.self)
            for index in start..<(start + length) {
                let difference = target[index] - base[index]
                let code = scale > 0 ? (difference / scale).rounded(.toNearestOrEven) : 0
                codes[index] = Int8(max(-127, min(127, code)))
            }
        }
    }

    static func decodeCompact(
        base: UnsafePointer<Float>, payload: UnsafeRawPointer, rows: Int, length: Int,
        result: UnsafeMutablePointer<Float>
    ) {
        let codes = payload.advanced(by: 4 * rows).assumingMemoryBound(to: Int8.self)
        for row in 0..<rows {
            let scale = Float(bitPattern: UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: 4 * row, as: UInt32.self)))
            for index in (row * length)..<((row + 1) * length) {
                let step = scale * Float(codes[index])
                result[index] = base[index] + step
            }
        }
    }
}

import Disk
import ModelFormat

/// Between a tensor's dtype and fp32: widening is exact, narrowing rounds once, to nearest even.
enum Floats {
    /// The tensor as fp32: its own bytes where it is that already, else a copy.
    static func widened(_ tensor: StoredTensor) -> SharedFloats {
        tensor.withBytes { bytes in
            if tensor.dtype == .f32, Int(bitPattern: bytes.baseAddress) % 4 == 0 { return .stored(tensor) }
            return .copied(
                HeapBytes(count: tensor.count * 4) { target in
                    let floats = target.assumingMemoryBound(to: Float.self)
                    for index in 0..<tensor.count { floats[index] = element(bytes, index, tensor.dtype) }
                })
        }
    }

    private static func element(_ bytes: UnsafeRawBufferPointer, _ index: Int, _ dtype: DType) -> Float {
        switch dtype {
        case .f32: Float(bitPattern: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
        case .f16: half(bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
        case .bf16: Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)) << 16)
        }
    }

    static func narrow(_ floats: UnsafePointer<Float>, _ count: Int, to dtype: DType, into target: UnsafeMutableRawPointer) {
        switch dtype {
        case .f32: target.copyMemory(from: floats, byteCount: count * 4)
        case .f16:
            let halves = target.assumingMemoryBound(to: UInt16.self)
            for index in 0..<count { halves[index] = half(floats[index]) }
        case .bf16:
            let halves = target.assumingMemoryBound(to: UInt16.self)
            for index in 0..<count {
                let bits = floats[index].bitPattern
                halves[index] = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
            }
        }
    }

    /// IEEE 754 binary16, by hand: Swift has no Float16 on every platform.
    private static func half(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = UInt32(bits >> 10 & 0x1F)
        let fraction = UInt32(bits & 0x3FF)
        if exponent == 0 {
            let magnitude = Float(fraction) * Float(sign: .plus, exponent: -24, significand: 1)
            return Float(bitPattern: magnitude.bitPattern | sign)
        }
        if exponent == 31 { return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13) }
        return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }

    private static func half(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        let sign = UInt16(truncatingIfNeeded: bits >> 16 & 0x8000)
        let magnitude = bits & 0x7FFF_FFFF
        // 65520 and beyond round to infinity.
        if magnitude >= 0x477F_F000 { return sign | (magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00) }
        if magnitude < 0x3880_0000 {
            // Subnormal: adding 2⁻¹ aligns the fraction's last bit with 2⁻²⁴, and the addition rounds.
            let aligned = Float(bitPattern: magnitude) + 0.5
            return sign | UInt16(truncatingIfNeeded: aligned.bitPattern &- 0x3F00_0000)
        }
        let rounded = magnitude &+ 0xFFF &+ (magnitude >> 13 & 1)
        return sign | UInt16(truncatingIfNeeded: (rounded &- 0x3800_0000) >> 13)
    }
}

/// Floats that somebody holds.
enum SharedFloats {
    case stored(StoredTensor)
    case copied(HeapBytes)

    func withFloats<Value, Failure: Error>(
        _ body: (UnsafePointer<Float>) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        func bound(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> Value {
            // A tensor has at least one element (the manifest's reader sees to it), so there is an address.
            try body(bytes.baseAddress!.assumingMemoryBound(to: Float.self))
        }
        switch self {
        case .stored(let tensor): return try tensor.withBytes(bound)
        case .copied(let bytes): return try bytes.withBytes(bound)
        }
    }
}

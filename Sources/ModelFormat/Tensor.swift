public import Disk

/// How a tensor's elements are stored, little-endian.
public enum DType: String, Sendable, Hashable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"

    /// Bytes an element.
    public var width: Int { self == .f32 ? 4 : 2 }
}

/// A tensor where it is stored: a stretch of a mapped file, never copied. Its address may be unaligned.
public struct StoredTensor: Sendable {
    /// Hugging Face's current name, e.g. `bert.encoder.layer.0.output.dense.weight`.
    public let name: String
    public let dtype: DType
    public let shape: [Int]
    /// The file it came from, for messages.
    let file: String
    private let owner: SharedBytes
    private let range: Range<Int>

    /// Elements.
    public var count: Int { range.count / dtype.width }
    public var byteCount: Int { range.count }

    /// The bytes, held for as long as `body` runs.
    public func withBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        try owner.withBytes { all throws(Failure) in try body(UnsafeRawBufferPointer(rebasing: all[range])) }
    }

    /// Only for who holds this tensor, or the contents it belongs to, for as long as the address is used.
    public var addressWhileHeld: UnsafeRawPointer? {
        range.isEmpty ? nil : UnsafeRawBufferPointer(rebasing: owner.addressWhileHeld[range]).baseAddress
    }

    /// A whole file is one tensor.
    ///
    /// - Throws: `.tensorSize`: the file's length is not the shape's.
    public init(name: String, dtype: DType, shape: [Int], bytes: SharedBytes) throws(ModelFormatError) {
        try self.init(name: name, dtype: dtype, shape: shape, owner: bytes, range: 0..<bytes.count, file: name)
    }

    /// - Precondition: `range` lies within `owner`.
    init(
        name: String, dtype: DType, shape: [Int], owner: SharedBytes, range: Range<Int>, file: String
    ) throws(ModelFormatError) {
        guard let expected = Self.byteCount(shape, dtype), expected == range.count else {
            throw .tensorSize(
                file: file, tensor: name, expected: Self.byteCount(shape, dtype).map { "\($0) bytes" } ?? "a size that exists",
                found: "\(range.count) bytes")
        }
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.file = file
        self.owner = owner
        self.range = range
    }

    /// Bytes of a tensor of that shape; nil where no machine could hold them.
    static func byteCount(_ shape: [Int], _ dtype: DType) -> Int? {
        var count = dtype.width
        for size in shape {
            guard size >= 0 else { return nil }
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            if overflow { return nil }
            count = product
        }
        return count
    }

    /// The same bytes under another name.
    public func named(_ name: String) -> StoredTensor {
        // The shape has been checked against the bytes already.
        StoredTensor(copying: self, name: name)
    }

    private init(copying other: StoredTensor, name: String) {
        self.name = name
        dtype = other.dtype
        shape = other.shape
        file = other.file
        owner = other.owner
        range = other.range
    }

    /// See `SharedBytes.letGo`; of the whole file it lies in.
    public func letGo() { owner.letGo() }

    /// SHA-256 of the bytes as they are stored.
    public func digest() -> Digest { withBytes { Digest(of: $0) } }

    /// - Throws: `.notFinite` with the first element that is a NaN or an infinity. Reads every byte.
    public func checkFinite() throws(ModelFormatError) {
        guard let index = firstNonFinite else { return }
        throw .notFinite(file: file, tensor: name, index: index)
    }

    private var firstNonFinite: Int? {
        withBytes { bytes in
            switch dtype {
            // All exponent bits set: infinity or NaN (IEEE 754).
            case .f32: bytes.firstIndex(ofAllOnes: 0x7F80_0000 as UInt32)
            case .f16: bytes.firstIndex(ofAllOnes: 0x7C00 as UInt16)
            case .bf16: bytes.firstIndex(ofAllOnes: 0x7F80 as UInt16)
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Index of the first word whose masked bits are all ones. Block by block without a branch inside, so that the
    /// compiler makes vectors of it.
    fileprivate func firstIndex<Word: FixedWidthInteger>(ofAllOnes mask: Word) -> Int? {
        let words = count / MemoryLayout<Word>.size
        let block = 1024
        for start in stride(from: 0, to: words, by: block) {
            let end = Swift.min(start + block, words)
            var hits: Word = 0
            for index in start..<end {
                let word = loadUnaligned(fromByteOffset: index * MemoryLayout<Word>.size, as: Word.self)
                hits |= (word & mask) == mask ? 1 : 0
            }
            guard hits != 0 else { continue }
            for index in start..<end {
                let word = loadUnaligned(fromByteOffset: index * MemoryLayout<Word>.size, as: Word.self)
                if word & mask == mask { return index }
            }
        }
        return nil
    }
}

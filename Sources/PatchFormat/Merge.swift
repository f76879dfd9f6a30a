public import Disk
public import ModelFormat

/// A tensor as a frame makes it.
public struct MergedTensor: Sendable {
    public let bytes: HeapBytes
    /// For `rows`: the frame's contents, which a store keeps instead of the whole tensor.
    public let rows: RowPayload?
}

/// Rows that differ: u32 count · count × u32 row (rising) · the rows' bytes.
public struct RowPayload: Sendable {
    public let bytes: SharedBytes
    let count: Int
    let rowBytes: Int

    /// - Throws: `.frame` for lengths or rows that do not fit.
    init(_ bytes: SharedBytes, _ frame: PatchFrame, file: String) throws(PatchError) {
        try self.init(bytes, tensor: frame.tensor, shape: frame.shape, dtype: frame.dtype, file: file)
    }

    /// As a store has kept it.
    public init(_ bytes: SharedBytes, _ entry: TensorEntry) throws(PatchError) {
        try self.init(bytes, tensor: entry.name, shape: entry.shape, dtype: entry.dtype, file: "store")
    }

    private init(_ bytes: SharedBytes, tensor: String, shape: [Int], dtype: DType, file: String) throws(PatchError) {
        let length = shape.last ?? 1
        let rows = shape.reduce(1, *) / max(length, 1)
        rowBytes = length * dtype.width
        count = bytes.count < 4 ? -1 : bytes.withBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
        self.bytes = bytes
        guard (0...rows).contains(count), bytes.count == 4 + count * (4 + rowBytes) else {
            throw .frame(file: file, tensor: tensor, expected: "\(bytes.count) bytes of rows", found: "\(count) rows")
        }
        var last = -1
        for place in 0..<count {
            let row = row(place)
            guard row > last, row < rows else {
                throw .frame(file: file, tensor: tensor, expected: "rising rows below \(rows)", found: "\(row)")
            }
            last = row
        }
    }

    private func row(_ place: Int) -> Int {
        bytes.withBytes { Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 4 + 4 * place, as: UInt32.self))) }
    }

    /// - Precondition: `target` holds the whole tensor.
    public func write(over target: UnsafeMutableRawBufferPointer) {
        bytes.withBytes { payload in
            for place in 0..<count {
                let source = payload.baseAddress! + 4 + 4 * count + place * rowBytes
                (target.baseAddress! + row(place) * rowBytes).copyMemory(from: source, byteCount: rowBytes)
            }
        }
    }
}

extension ModelContents {
    /// The tensor that a frame starts from; nil where there is none. A tied base's decoder starts from the word
    /// embeddings.
    func source(of tensor: String) -> StoredTensor? {
        self[tensor] ?? (tensor == VersionIdentity.decoder ? self[VersionIdentity.embeddings] : nil)
    }
}

extension PatchFrame {
    /// Makes the resulting tensor and checks it: of the signed digest, finite.
    ///
    /// - Parameter contents: what was in the frame.
    public func merged(_ contents: HeapBytes, onto base: ModelContents, file: String) throws(PatchError) -> MergedTensor {
        guard let source = base.source(of: tensor) else { throw .base(tensor: tensor, expected: "a tensor of that name", found: "none") }
        let bytes = try result(contents, source, file: file)
        let found = bytes.withBytes { Digest(of: $0) }
        guard found == result else { throw .result(tensor: tensor, expected: "\(result)", found: "\(found)") }
        return MergedTensor(bytes: bytes, rows: operation == .rows ? try RowPayload(contents, self, file: file) : nil)
    }

    /// The tensor's bytes, known to be finite and of the right shape.
    func result(_ contents: HeapBytes, _ source: StoredTensor, file: String) throws(PatchError) -> HeapBytes {
        guard source.shape == shape else { throw .base(tensor: tensor, expected: "shape \(shape)", found: "\(source.shape)") }
        let bytes: HeapBytes
        switch operation {
        case .replace: bytes = contents
        case .rows:
            guard source.dtype == dtype else {
                throw .base(tensor: tensor, expected: dtype.rawValue, found: source.dtype.rawValue)
            }
            let rows = try RowPayload(contents, self, file: file)
            bytes = HeapBytes(count: source.byteCount) { target in
                source.withBytes { target.copyMemory(from: $0) }
                rows.write(over: target)
            }
        case .delta: bytes = applied(contents, to: Floats.widened(source))
        }
        do {
            try StoredTensor(name: tensor, dtype: dtype, shape: shape, bytes: bytes).checkFinite()
        } catch { throw .format(error) }
        return bytes
    }

    private func applied(_ contents: HeapBytes, to base: SharedFloats) -> HeapBytes {
        let floats = HeapBytes(count: count * 4) { target in
            let result = target.baseAddress!.assumingMemoryBound(to: Float.self)
            contents.withBytes { payload in
                base.withFloats { base in
                    if encoding == .exact {
                        let planes = payload.baseAddress!.assumingMemoryBound(to: UInt8.self)
                        DeltaCodec.decodeExact(base: base, planes: planes, count: count, result: result)
                    } else {
                        DeltaCodec.decodeCompact(
                            base: base, payload: payload.baseAddress!, rows: rowCount, length: rowLength, result: result)
                    }
                }
            }
        }
        guard dtype != .f32 else { return floats }
        return HeapBytes(count: count * dtype.width) { target in
            floats.withBytes { raw in
                Floats.narrow(raw.baseAddress!.assumingMemoryBound(to: Float.self), count, to: dtype, into: target.baseAddress!)
            }
        }
    }
}

extension PatchPlan {
    /// The identity of what this patch makes of a base; whether it is the one that was signed is for the caller.
    public func identity(base: VersionIdentity) -> VersionIdentity {
        var entries: [String: TensorEntry] = [:]
        for tensor in base.tensors { entries[tensor.name] = tensor }
        for frame in frames {
            entries[frame.tensor] = TensorEntry(name: frame.tensor, dtype: frame.dtype, shape: frame.shape, digest: frame.result)
        }
        return VersionIdentity(
            shape: base.shape, tokenizer: base.tokenizer, vocabulary: base.vocabulary,
            calibration: calibration.map { Digest(of: Array($0.utf8)) }, tensors: Array(entries.values))
    }
}

public import Disk
public import ModelFormat

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

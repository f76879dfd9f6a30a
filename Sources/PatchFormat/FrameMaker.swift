import Disk
import Glibc
import ModelFormat

struct MadeFrame: Sendable {
    let frame: PatchFrame
    let bytes: [UInt8]
    /// From the tensor it was made for.
    let distance: (largest: Float, relative: Double)
}

extension PatchMaker {
    /// Of a matrix with few changed rows the rows are sent; of others the difference.
    func frame(of tensor: StoredTensor) throws(PatchError) -> MadeFrame {
        guard let source = base.source(of: tensor.name) else { throw .base(tensor: tensor.name, expected: "a tensor of that name", found: "none") }
        if let payload = changedRows(of: tensor, from: source) {
            return try made(tensor, .rows, .raw, payload, onto: source)
        }
        var delta = recipe.encoding == .compact ? compact(tensor, onto: source) : nil
        if delta == nil { delta = try made(tensor, .delta, .exact, exactDifference(of: tensor, from: source), onto: source) }
        // What has little to do with its source is smaller as it is.
        if let delta, delta.bytes.count < tensor.byteCount { return delta }
        let whole = HeapBytes(count: tensor.byteCount) { target in tensor.withBytes { target.copyMemory(from: $0) } }
        return try made(tensor, .replace, .raw, whole, onto: source)
    }

    /// Codes are off by 3.6 % of a change's deviation. Where the change is not small that is much of the tensor itself.
    private static let coarsest = 1.0 / 512

    /// nil where codes would not do: for a vector, which is small and matters; where they are too coarse; where they lead
    /// nowhere, as when zeros change their sign, or beyond the largest number.
    private func compact(_ tensor: StoredTensor, onto source: StoredTensor) -> MadeFrame? {
        guard tensor.shape.count == 2, let codes = compactDifference(of: tensor, from: source),
            let made = try? made(tensor, .delta, .compact, codes, onto: source), made.distance.relative <= Self.coarsest,
            made.frame.result != source.digest()
        else { return nil }
        return made
    }

    /// nil where it is no matrix, of another dtype, or more rows changed than are worth sending as they are: what a
    /// store saves by keeping them alone is paid for in the patch, which is to be small where it is `compact`.
    private func changedRows(of tensor: StoredTensor, from source: StoredTensor) -> HeapBytes? {
        guard tensor.shape.count == 2, source.shape == tensor.shape, source.dtype == tensor.dtype else { return nil }
        let (rows, rowBytes) = (tensor.shape[0], tensor.shape[1] * tensor.dtype.width)
        return tensor.withBytes { target in
            source.withBytes { source in
                let (from, to) = (source.baseAddress!, target.baseAddress!)
                let changed = (0..<rows).filter { memcmp(to + $0 * rowBytes, from + $0 * rowBytes, rowBytes) != 0 }
                guard changed.count <= rows / (recipe.encoding == .compact ? 16 : 4) else { return nil }
                return HeapBytes(count: 4 + changed.count * (4 + rowBytes)) { payload in
                    payload.storeBytes(of: UInt32(changed.count).littleEndian, as: UInt32.self)
                    for (place, row) in changed.enumerated() {
                        payload.storeBytes(of: UInt32(row).littleEndian, toByteOffset: 4 + 4 * place, as: UInt32.self)
                        let start = payload.baseAddress! + 4 + 4 * changed.count + place * rowBytes
                        start.copyMemory(from: to + row * rowBytes, byteCount: rowBytes)
                    }
                }
            }
        }
    }

    private func exactDifference(of tensor: StoredTensor, from source: StoredTensor) -> HeapBytes {
        HeapBytes(count: 4 * tensor.count) { DeltaCodec.takeExact(from: source, to: tensor, into: $0) }
    }

    /// nil where the difference is beyond the numbers.
    private func compactDifference(of tensor: StoredTensor, from source: StoredTensor) -> HeapBytes? {
        let (rows, length) = (tensor.shape[0], tensor.shape[1])
        var isPossible = false
        let payload = HeapBytes(count: 4 * rows + tensor.count) { payload in
            isPossible = DeltaCodec.takeCompact(from: source, to: tensor, rowLength: length, into: payload)
        }
        return isPossible ? payload : nil
    }

    /// Compresses, and applies the frame once: what is signed is what comes out.
    private func made(
        _ tensor: StoredTensor, _ operation: PatchFrame.Operation, _ encoding: PatchFrame.Encoding, _ contents: HeapBytes,
        onto source: StoredTensor
    ) throws(PatchError) -> MadeFrame {
        let compressed = contents.withBytes { raw in
            [UInt8](unsafeUninitializedCapacity: Zstandard.bound(raw.count)) { buffer, count in
                count = Zstandard.compress(raw, into: UnsafeMutableRawBufferPointer(buffer)) ?? 0
            }
        }
        guard !compressed.isEmpty else {
            throw .frame(file: recipe.release, tensor: tensor.name, expected: "memory to compress in", found: "none")
        }
        func frame(_ result: Digest) -> PatchFrame {
            PatchFrame(
                tensor: tensor.name, shape: tensor.shape, dtype: tensor.dtype, operation: operation, encoding: encoding,
                compressed: compressed.count, exact: contents.count, digest: Digest(of: compressed), result: result)
        }
        let draft = frame(Digest(of: []))
        let bytes = try HeapBytes(count: tensor.byteCount) { target throws(PatchError) in
            _ = try draft.write(contents, onto: source, into: target, file: recipe.release)
        }
        let made: StoredTensor
        do { made = try StoredTensor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: bytes) } catch { throw .format(error) }
        return MadeFrame(frame: frame(made.digest()), bytes: compressed, distance: DeltaCodec.distance(of: made, from: tensor))
    }
}

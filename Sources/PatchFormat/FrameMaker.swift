import Disk
import ModelFormat

struct MadeFrame: Sendable {
    let frame: PatchFrame
    let bytes: [UInt8]
    let difference: Float
}

extension PatchMaker {
    /// Of a matrix with few changed rows the rows are sent; of others the difference.
    func frame(of tensor: StoredTensor) throws(PatchError) -> MadeFrame {
        guard let source = base.source(of: tensor.name) else { throw .base(tensor: tensor.name, expected: "a tensor of that name", found: "none") }
        if let payload = changedRows(of: tensor, from: source) {
            return try made(tensor, .rows, .raw, payload, onto: source)
        }
        let encoding: PatchFrame.Encoding = recipe.encoding == .compact && tensor.shape.count == 2 ? .compact : .exact
        let delta = try made(tensor, .delta, encoding, difference(of: tensor, from: source, encoding), onto: source)
        // What has little to do with its source is smaller as it is.
        guard delta.bytes.count >= tensor.byteCount else { return delta }
        let whole = HeapBytes(count: tensor.byteCount) { target in tensor.withBytes { target.copyMemory(from: $0) } }
        return try made(tensor, .replace, .raw, whole, onto: source)
    }

    /// nil where it is no matrix, of another dtype, or more than a quarter of the rows changed.
    private func changedRows(of tensor: StoredTensor, from source: StoredTensor) -> HeapBytes? {
        guard tensor.shape.count == 2, source.dtype == tensor.dtype else { return nil }
        let (rows, rowBytes) = (tensor.shape[0], tensor.shape[1] * tensor.dtype.width)
        return tensor.withBytes { target in
            source.withBytes { source in
                let changed = (0..<rows).filter { row in
                    let range = (row * rowBytes)..<((row + 1) * rowBytes)
                    return !target[range].elementsEqual(source[range])
                }
                guard changed.count <= rows / 4 else { return nil }
                return HeapBytes(count: 4 + changed.count * (4 + rowBytes)) { payload in
                    payload.storeBytes(of: UInt32(changed.count).littleEndian, as: UInt32.self)
                    for (place, row) in changed.enumerated() {
                        payload.storeBytes(of: UInt32(row).littleEndian, toByteOffset: 4 + 4 * place, as: UInt32.self)
                        let start = 4 + 4 * changed.count + place * rowBytes
                        payload[start..<(start + rowBytes)].copyBytes(from: target[(row * rowBytes)..<((row + 1) * rowBytes)])
                    }
                }
            }
        }
    }

    private func difference(of tensor: StoredTensor, from source: StoredTensor, _ encoding: PatchFrame.Encoding) -> HeapBytes {
        let count = tensor.count
        let length = tensor.shape.last ?? 1
        return Floats.widened(tensor).withFloats { target in
            Floats.widened(source).withFloats { base in
                if encoding == .exact {
                    return HeapBytes(count: 4 * count) { planes in
                        DeltaCodec.encodeExact(
                            base: base, target: target, count: count,
                            planes: planes.baseAddress!.assumingMemoryBound(to: UInt8.self))
                    }
                }
                return HeapBytes(count: count + 4 * (count / length)) { payload in
                    DeltaCodec.encodeCompact(
                        base: base, target: target, rows: count / length, length: length, payload: payload.baseAddress!)
                }
            }
        }
    }

    /// Compresses, and applies the frame once: what is signed is what comes out.
    private func made(
        _ tensor: StoredTensor, _ operation: PatchFrame.Operation, _ encoding: PatchFrame.Encoding, _ contents: HeapBytes,
        onto source: StoredTensor
    ) throws(PatchError) -> MadeFrame {
        let compressed = contents.withBytes { raw in
            [UInt8](unsafeUninitializedCapacity: Zstandard.bound(raw.count)) { buffer, count in
                count = Zstandard.compress(raw, into: UnsafeMutableRawBufferPointer(buffer), level: 3) ?? 0
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
        let draft = frame(tensor.digest())
        let result = try draft.result(contents, source, file: recipe.release)
        let digest = result.withBytes { Digest(of: $0) }
        return MadeFrame(frame: frame(digest), bytes: compressed, difference: largestDifference(result, tensor))
    }

    private func largestDifference(_ result: HeapBytes, _ tensor: StoredTensor) -> Float {
        guard let made = try? StoredTensor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: result) else { return .nan }
        return Floats.widened(made).withFloats { made in
            Floats.widened(tensor).withFloats { wanted in
                var largest: Float = 0
                for index in 0..<tensor.count { largest = max(largest, abs(made[index] - wanted[index])) }
                return largest
            }
        }
    }
}

public import Disk
public import ModelFormat

/// A tensor as a frame makes it.
public struct MergedTensor: Sendable {
    /// Of the signed digest, and finite.
    public let bytes: SharedBytes
    /// For `rows`: the frame's contents, which a store keeps instead of the whole tensor.
    public let rows: RowPayload?
}

extension PatchFile {
    /// Makes a frame's tensor from that of the base, and checks it.
    ///
    /// Nothing is unpacked before the frame is known to fit the base, so that memory is bounded by the base's own
    /// tensors; the frame's contents and the result are held at once, and nothing else.
    ///
    /// - Parameters:
    ///   - start: where the frame begins, counted from the end of the first one.
    ///   - failing: what is thrown for a frame that is not what it should be.
    ///   - body: gets the tensor, whose bytes are there only for as long as it runs.
    public func merge<Value, Failure: Error>(
        _ frame: PatchFrame, at start: Int, onto base: ModelContents, in room: MergeRoom,
        failing: (PatchError) -> Failure, _ body: (MergedTensor) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        func patch<Result>(_ work: () throws(PatchError) -> Result) throws(Failure) -> Result {
            do { return try work() } catch { throw failing(error) }
        }
        let source = try patch { () throws(PatchError) in try frame.source(in: base) }
        return try room.with(frame.exact) { contents throws(Failure) in
            try patch { () throws(PatchError) in try unpack(frame, at: start, into: contents) }
            let payload = SharedBytes(immortal: UnsafeRawBufferPointer(contents))
            guard frame.operation != .replace else {
                try patch { () throws(PatchError) in try frame.check(payload) }
                return try body(MergedTensor(bytes: payload, rows: nil))
            }
            return try room.with(source.count * frame.dtype.width) { target throws(Failure) in
                let made = SharedBytes(immortal: UnsafeRawBufferPointer(target))
                let rows = try patch { () throws(PatchError) in
                    let rows = try frame.write(payload, onto: source, into: target, file: name)
                    try frame.check(made)
                    return rows
                }
                return try body(MergedTensor(bytes: made, rows: rows))
            }
        }
    }
}

extension ModelContents {
    /// The tensor that a frame of that name starts from; nil where there is none. A tied base's decoder starts from the
    /// word embeddings.
    func source(of tensor: String) -> StoredTensor? {
        self[tensor] ?? (tensor == VersionIdentity.decoder ? self[VersionIdentity.embeddings] : nil)
    }
}

extension PatchFrame {
    /// Whether this frame can be for this base at all.
    ///
    /// - Returns: what the frame starts from.
    func source(in base: ModelContents) throws(PatchError) -> StoredTensor {
        let source = base.source(of: tensor)
        try checkSource(source?.shape, source?.dtype)
        // It has a shape, so it is there.
        return source!
    }

    fileprivate func checkSource(_ shape: [Int]?, _ dtype: DType?) throws(PatchError) {
        guard let shape, let dtype else { throw .base(tensor: tensor, expected: "a tensor of that name", found: "none") }
        guard shape == self.shape else { throw .base(tensor: tensor, expected: "shape \(self.shape)", found: "\(shape)") }
        guard operation != .rows || dtype == self.dtype else {
            throw .base(tensor: tensor, expected: self.dtype.rawValue, found: dtype.rawValue)
        }
    }

    /// Writes the tensor's bytes, known to be finite where this returns.
    ///
    /// - Precondition: the source is of this shape, and for `rows` of this dtype.
    /// - Returns: for `rows` the contents.
    func write(
        _ contents: SharedBytes, onto source: StoredTensor, into target: UnsafeMutableRawBufferPointer, file: String
    ) throws(PatchError) -> RowPayload? {
        var rows: RowPayload?
        var isFinite = false
        switch operation {
        case .replace: contents.withBytes { target.copyMemory(from: $0) }
        case .rows:
            let payload = try RowPayload(contents, self, file: file)
            source.withBytes { target.copyMemory(from: $0) }
            payload.write(over: target)
            rows = payload
        case .delta: isFinite = contents.withBytes { DeltaCodec.apply($0, of: self, to: source, into: target) }
        }
        if !isFinite { try checkFinite(SharedBytes(immortal: UnsafeRawBufferPointer(target))) }
        return rows
    }

    /// Whether it is what was signed; asked of `replace`, which is not looked at otherwise, also whether it is finite.
    fileprivate func check(_ bytes: SharedBytes) throws(PatchError) {
        if operation == .replace { try checkFinite(bytes) }
        let found = bytes.withBytes { Digest(of: $0) }
        guard found == result else { throw .result(tensor: tensor, expected: "\(result)", found: "\(found)") }
    }

    /// Says which element it is that is none.
    private func checkFinite(_ bytes: SharedBytes) throws(PatchError) {
        do { try StoredTensor(name: tensor, dtype: dtype, shape: shape, bytes: bytes).checkFinite() } catch { throw .format(error) }
    }
}

extension PatchPlan {
    /// Whether every frame can be for this base: from what is known of it, before a byte of it or of a frame is read.
    public func check(against base: VersionIdentity) throws(PatchError) {
        let entries = Dictionary(base.tensors.map { ($0.name, $0) }) { first, _ in first }
        for frame in frames {
            let entry = entries[frame.tensor] ?? (frame.tensor == VersionIdentity.decoder ? entries[VersionIdentity.embeddings] : nil)
            try frame.checkSource(entry?.shape, entry?.dtype)
        }
    }

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

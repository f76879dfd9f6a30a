import Disk
import Glibc
public import ModelFormat
public import PatchFormat
import StrictJSON

extension ModelStore {
    /// Makes a version from its base by a patch: durable and whole when this returns, and not yet current.
    ///
    /// Tensor by tensor on background threads; at most `lanes` tensors are in memory at once, twice over. What was
    /// written is read back and compared before anything refers to it.
    ///
    /// - Parameters:
    ///   - plan: the patch's manifest, its signature found good.
    ///   - created: RFC 3339, UTC.
    /// - Precondition: `checkRoom` was asked.
    /// - Throws: `.patch` for a patch that does not hold what it says; `.disk`.
    public func merge(
        _ patch: PatchFile, _ plan: PatchPlan, signer: String?, created: String, lanes: Int = 2
    ) async throws(StoreError) -> VersionManifest {
        let base = try manifest(of: plan.base)
        let identity = plan.identity(base: base.identity)
        guard identity.fingerprint == plan.target else {
            throw .patch(.fingerprint(expected: "\(plan.target)", found: "\(identity.fingerprint)"))
        }
        if disk.exists(layout.manifest(plan.target)) {
            // Contents that were here before: what they are called now is what the patch says.
            let kept = try manifest(of: plan.target).tensors
            return try keep(version(plan, identity, base, kept, identity: patch.identity, signer, created))
        }
        let contents = try contents(of: base)
        let order = zip(plan.frames, plan.starts).sorted { $0.0.exact > $1.0.exact }
        let room = MergeRoom()
        let written = try await Lanes.map(order, lanes: lanes, on: .background) { frame, start throws(StoreError) in
            try patch.merge(frame, at: start, onto: contents, in: room, failing: StoreError.patch) { merged throws(StoreError) in
                try write(merged, of: frame, base)
            }
        }
        try onDisk { () throws(DiskError) in
            try disk.syncFolder(layout.tensors)
            try disk.syncFolder(layout.rows)
        }
        return try keep(version(plan, identity, base, written, identity: patch.identity, signer, created))
    }

    func keep(_ manifest: VersionManifest) throws(StoreError) -> VersionManifest {
        try onDisk { () throws(DiskError) in
            try disk.writeDurably(manifest.json.indented + "\n", to: layout.manifest(manifest.fingerprint))
        }
        return manifest
    }

    /// Asked before a whole other model is written and mapped beside the one that answers.
    ///
    /// - Throws: `.noMemory`.
    public func checkMemory(for contents: ModelContents) throws(StoreError) {
        let needed = contents.tensors.reduce(64 << 20) { $0 + $1.byteCount }
        if let available = disk.availableMemory(), available < needed {
            throw .noMemory(needed: needed, available: available)
        }
    }

    /// Asked before the first byte is written.
    ///
    /// - Throws: `.patch` for one that cannot be for its base, whatever it says it needs; `.noSpace`, `.noMemory`: what
    ///   is missing may be there later.
    public func checkRoom(for plan: PatchPlan, lanes: Int = 2) throws(StoreError) {
        let base = try manifest(of: plan.base).identity
        do { try plan.check(against: base) } catch { throw .patch(error) }
        let sizes = plan.frames.map { max($0.exact, $0.shape.reduce($0.dtype.width, *)) }
        let whole = sizes.reduce(0, +)
        try checkSpace(for: whole)
        // The new version's own pages; and a lane holds a frame's contents and the tensor it becomes.
        let needed = sizes.sorted(by: >).prefix(lanes).reduce((64 << 20) + whole) { $0 + 2 * $1 }
        if let available = disk.availableMemory(), available < needed {
            throw .noMemory(needed: needed, available: available)
        }
    }

    private func write(
        _ merged: MergedTensor, of frame: PatchFrame, _ base: VersionManifest
    ) throws(StoreError) -> VersionManifest.Tensor {
        let entry = TensorEntry(name: frame.tensor, dtype: frame.dtype, shape: frame.shape, digest: frame.result)
        let source = base.tensors.first { $0.entry.name == frame.tensor }
            ?? base.tensors.first { $0.entry.name == VersionIdentity.embeddings }
        // Rows over rows would have to be looked up twice; such a tensor is written whole.
        guard let rows = merged.rows, let source, source.rows == nil else {
            try write(merged.bytes, digest: frame.result, to: layout.tensor(frame.result))
            return .init(entry: entry, isLearned: true)
        }
        let payload = rows.bytes.withBytes { Digest(of: $0) }
        try write(rows.bytes, digest: payload, to: layout.rows(payload))
        return .init(entry: entry, rows: .init(source: source.entry.digest, payload: payload), isLearned: true)
    }

    private func write(_ bytes: SharedBytes, digest: Digest, to path: String) throws(StoreError) {
        if disk.exists(path) { return }
        let temporary = path + ".merge.partial"
        try onDisk { () throws(DiskError) in
            try bytes.withBytes { raw throws(DiskError) in try disk.writeNew(raw, to: temporary) }
        }
        // What was digested in memory a moment ago is what is compared with: a third of the cost of another digest.
        let file = try onDisk { () throws(DiskError) in try MappedFile(temporary) }
        let isSame = file.withBytes { found in bytes.withBytes { written in isEqual(found, written) } }
        guard isSame else {
            try onDisk { () throws(DiskError) in try disk.remove(temporary) }
            throw .damaged(file: temporary, expected: "the bytes that were written, \(digest)", found: "others")
        }
        try onDisk { () throws(DiskError) in try disk.renameUnsynced(temporary, to: path) }
    }

    private func isEqual(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard one.count == other.count, let start = one.baseAddress, let otherStart = other.baseAddress else { return one.count == other.count }
        return memcmp(start, otherStart, one.count) == 0
    }

    private func version(
        _ plan: PatchPlan, _ contents: VersionIdentity, _ base: VersionManifest, _ written: [VersionManifest.Tensor],
        identity: Digest, _ signer: String?, _ created: String
    ) -> VersionManifest {
        var tensors: [String: VersionManifest.Tensor] = [:]
        for tensor in base.tensors + written { tensors[tensor.entry.name] = tensor }
        return VersionManifest(
            fingerprint: plan.target, release: plan.release, epoch: plan.epoch, line: plan.line, origin: .patched,
            created: created,
            patch: .init(base: plan.base, identity: identity, signer: signer, dossier: plan.dossier), shape: base.shape,
            tokenizer: base.tokenizer, vocabulary: base.vocabulary, calibration: plan.calibration,
            tensors: contents.tensors.map { tensors[$0.name]! })
    }
}

// MARK: - Lines

extension ModelStore {
    /// The epoch that a patch on this line must exceed: what was committed on it, ever; 0 for a line that is not known.
    public func floor(of line: Fingerprint) throws(StoreError) -> Int {
        var floor = try writtenFloor(of: line)
        // A commit whose floor could not be written has left it behind.
        for version in [try current(), try previous()].compactMap({ $0 }) {
            let manifest = try manifest(of: version)
            if manifest.line == line { floor = max(floor, manifest.epoch) }
        }
        return floor
    }

    private func writtenFloor(of line: Fingerprint) throws(StoreError) -> Int {
        guard disk.exists(layout.floor(line)) else { return 0 }
        let bytes = try onDisk { () throws(DiskError) in try disk.read(layout.floor(line), atMost: 100) }
        guard let number = Int(String(decoding: bytes, as: UTF8.self).dropLast()) else {
            throw .damaged(file: layout.floor(line), expected: "a number", found: "other bytes")
        }
        return number
    }

    /// Never lowers it.
    public func raiseFloor(of line: Fingerprint, to epoch: Int) throws(StoreError) {
        guard try writtenFloor(of: line) < epoch else { return }
        try onDisk { () throws(DiskError) in
            try disk.makeFolder(layout.lines)
            try disk.writeDurably("\(epoch)\n", to: layout.floor(line))
        }
    }

    /// Makes a kept version the current one, and raises its line's floor to its epoch.
    ///
    /// A floor that cannot be written does not undo a commit: the current version's own epoch is one, and `keepFloor`
    /// writes it at the next start.
    public func commit(_ version: VersionManifest) throws(StoreError) {
        try makeCurrent(version.fingerprint)
        try? keepFloor(of: version)
    }

    /// The floor's file says at least this version's epoch.
    public func keepFloor(of version: VersionManifest) throws(StoreError) {
        if version.epoch > 0 { try raiseFloor(of: version.line, to: version.epoch) }
    }
}

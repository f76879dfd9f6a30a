import Disk
public import ModelFormat
import StrictJSON
import Synchronization

extension ModelStore {
    /// Writes contents into the store and makes them `current`, at epoch 0 of a new line. Importing what is there is a
    /// no-op but for `current`.
    ///
    /// Where a service has the store, its rollout does the last step (`keep`).
    ///
    /// Order: tensors, vocabulary, manifest, `previous`, `current`; each durable before the next refers to it, so that
    /// an interruption leaves the old version or the new one.
    ///
    /// - Parameters:
    ///   - release: the version's name; nil: the contents' own, else `fallback`.
    ///   - created: RFC 3339, UTC.
    ///   - progress: bytes written so far, of how many; called from any thread.
    public func add(
        _ contents: ModelContents, release: String?, fallback: String, origin: VersionManifest.Origin,
        created: String, progress: @escaping @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws(StoreError) -> VersionManifest {
        let manifest = try await keep(
            contents, release: release, fallback: fallback, origin: origin, created: created, on: .pool, progress: progress)
        try commit(manifest)
        return manifest
    }

    /// The same but for `current`.
    ///
    /// - Parameter place: where tensors are digested and written.
    public func keep(
        _ contents: ModelContents, release: String?, fallback: String, origin: VersionManifest.Origin,
        created: String, on place: Lanes.Place, progress: @escaping @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws(StoreError) -> VersionManifest {
        let total = contents.tensors.reduce(0) { $0 + $1.byteCount }
        try checkSpace(for: total)
        let digests = try await write(contents.tensors, total: total, on: place, progress: progress)
        let fingerprint = contents.fingerprint(digests: digests)
        if disk.exists(layout.manifest(fingerprint)) { return try manifest(of: fingerprint) }
        let manifest = VersionManifest(
            fingerprint: fingerprint, release: release ?? contents.release ?? fallback, epoch: contents.epoch,
            line: contents.line ?? fingerprint, origin: origin, created: created, patch: nil, shape: contents.shape,
            tokenizer: contents.tokenizer, vocabulary: try writeVocabulary(contents.pieces),
            calibration: contents.calibration.map { String(decoding: $0, as: UTF8.self) },
            tensors: contents.identity(digests: digests).tensors.map { .init(entry: $0) })
        return try keep(manifest)
    }

    /// Both names are written before either moves, so that a full disk moves neither. `previous` first: if the process
    /// ends between the two, both name what was live.
    func makeCurrent(_ version: Fingerprint) throws(StoreError) {
        // One that cannot be read is mended by being replaced.
        let live = try? current()
        guard live != version else { return }
        try onDisk { () throws(DiskError) in
            let (current, previous) = (layout.current + ".partial", layout.previous + ".partial")
            if let live { try disk.writeNew("\(live)\n", to: previous) }
            try disk.writeNew("\(version)\n", to: current)
            if live != nil { try disk.rename(previous, to: layout.previous) }
            try disk.rename(current, to: layout.current)
        }
    }

    func checkSpace(for bytes: Int) throws(StoreError) {
        let free = try onDisk { () throws(DiskError) in try disk.freeBytes(at: layout.root) }
        // A sixteenth more for manifests, file system blocks and those who write beside us.
        let needed = bytes + bytes / 16 + (1 << 20)
        guard free >= needed else { throw .noSpace(store: layout.root, needed: needed, free: free) }
    }

    private func writeVocabulary(_ pieces: [String]) throws(StoreError) -> Digest {
        let text = Array(pieces.joined(separator: "\n").utf8)
        let digest = text.withUnsafeBytes { Digest(of: $0) }
        let path = layout.vocabulary(digest)
        if !disk.exists(path) {
            try onDisk { () throws(DiskError) in
                try disk.writeDurably(String(decoding: text, as: UTF8.self), to: path)
            }
        }
        return digest
    }

    /// Two lanes, so that one tensor is digested while another is written.
    private func write(
        _ tensors: [StoredTensor], total: Int, on place: Lanes.Place, progress: @escaping @Sendable (Int, Int) -> Void
    ) async throws(StoreError) -> [String: Digest] {
        let order = tensors.sorted { $0.byteCount > $1.byteCount }
        let done = ByteCount()
        let digests = try await Lanes.map(order, on: place) { tensor throws(StoreError) in
            let digest = try write(tensor)
            progress(done.add(tensor.byteCount), total)
            return digest
        }
        try onDisk { () throws(DiskError) in try disk.syncFolder(layout.tensors) }
        return Dictionary(zip(order.map(\.name), digests)) { first, _ in first }
    }

    /// The bytes are checked to be numbers, digested and written; a tensor that is there already is not written again.
    private func write(_ tensor: StoredTensor) throws(StoreError) -> Digest {
        do { try tensor.checkFinite() } catch { throw .format(error) }
        let digest = tensor.digest()
        let path = layout.tensor(digest)
        if disk.exists(path) { return digest }
        // Two lanes may hold equal tensors under two names: the temporary name is the tensor's own.
        let temporary = "\(path).\(tensor.name.count).\(tensor.name).partial"
        try onDisk { () throws(DiskError) in
            try tensor.withBytes { bytes throws(DiskError) in try disk.writeNew(bytes, to: temporary) }
            try disk.renameUnsynced(temporary, to: path)
        }
        return digest
    }
}

/// Bytes done by all lanes together.
private final class ByteCount: Sendable {
    private let count = Atomic(0)

    func add(_ more: Int) -> Int { count.add(more, ordering: .relaxed).newValue }
}

public import Disk
import Explain
public import ModelFormat
import PatchFormat
import StrictJSON

/// The versions kept on disk: content-addressed tensors, one manifest a version (`Layout`).
///
/// A store is changed by one process at a time, the one that holds its lock; anyone may read it, for what a reader can
/// reach was complete before it could be reached.
public struct ModelStore: Sendable {
    let layout: Layout
    let disk: Disk
    let mappings = Mappings()
    private let lock: FileLock?

    public var folder: String { layout.root }

    /// For reading alone. Nothing needs to be there yet.
    public init(reading state: String, disk: Disk = Disk()) {
        layout = Layout(state: state)
        self.disk = disk
        lock = nil
    }

    /// For changing it, as the only one.
    ///
    /// - Throws: `.inUse` at once when another process has it.
    public init(opening state: String, disk: Disk = Disk()) throws(StoreError) {
        layout = Layout(state: state)
        self.disk = disk
        do {
            for folder in layout.folders {
                try disk.makeFolder(folder)
            }
            lock = try FileLock(layout.lock)
        } catch {
            if case .locked = error { throw .inUse(store: layout.root) }
            throw .disk(error)
        }
        try removeLeftovers()
    }

    /// What an interrupted write left: temporary names, and files of a version that never came to be.
    private func removeLeftovers() throws(StoreError) {
        try onDisk { () throws(DiskError) in
            for folder in layout.folders + [layout.packedFolder] where disk.isFolder(folder) {
                for name in try disk.list(folder) where name.hasSuffix(".partial") {
                    try disk.remove(folder + "/" + name)
                }
            }
        }
        // Where a manifest cannot be read, nobody knows what it refers to.
        if (try? versions()) != nil { try removeUnreferenced() }
    }

    func onDisk<Value>(_ body: () throws(DiskError) -> Value) throws(StoreError) -> Value {
        do { return try body() } catch { throw .disk(error) }
    }
}

// MARK: - Reading

extension ModelStore {
    /// The version that answers, or nil in a store that has none yet.
    public func current() throws(StoreError) -> Fingerprint? { try pointer(layout.current) }

    /// The version before it, the snapshot of a rollback.
    public func previous() throws(StoreError) -> Fingerprint? { try pointer(layout.previous) }

    private func pointer(_ path: String) throws(StoreError) -> Fingerprint? {
        guard disk.exists(path) else { return nil }
        let bytes = try onDisk { () throws(DiskError) in try disk.read(path, atMost: 4096) }
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.hasSuffix("\n"), let fingerprint = Fingerprint(String(text.dropLast())) else {
            throw .damaged(file: path, expected: "a fingerprint and a line end", found: "\(bytes.count) other bytes")
        }
        return fingerprint
    }

    /// All versions kept, by fingerprint.
    ///
    /// - Throws: where one of them cannot be read.
    public func versions() throws(StoreError) -> [VersionManifest] {
        var manifests: [VersionManifest] = []
        for fingerprint in try kept() {
            do { manifests.append(try manifest(of: fingerprint)) } catch { if isKept(fingerprint) { throw error } }
        }
        return manifests
    }

    /// Those that can be read, and why the others cannot.
    public func readableVersions() throws(StoreError) -> (versions: [VersionManifest], faults: [StoreError]) {
        var (manifests, faults): ([VersionManifest], [StoreError]) = ([], [])
        for fingerprint in try kept() {
            do { manifests.append(try manifest(of: fingerprint)) } catch { if isKept(fingerprint) { faults.append(error) } }
        }
        return (manifests, faults)
    }

    /// The service may remove a version after another process has seen its name, and before it reads it.
    private func isKept(_ version: Fingerprint) -> Bool { disk.exists(layout.manifest(version)) }

    private func kept() throws(StoreError) -> [Fingerprint] {
        guard disk.isFolder(layout.versions) else { return [] }
        return try onDisk { () throws(DiskError) in try disk.list(layout.versions) }.compactMap { Fingerprint($0) }
    }

    /// - Parameter name: a fingerprint, a beginning of one of at least 4 digits, or a release; nil: the current one.
    /// - Throws: `.unknownVersion`, `.ambiguous`.
    public func manifest(named name: String?) throws(StoreError) -> VersionManifest {
        guard let name else {
            guard let current = try current() else { throw .unknownVersion("current") }
            return try manifest(of: current)
        }
        let hits = try versions().filter { version in
            version.release == name || (name.utf8.count >= 4 && "\(version.fingerprint)".hasPrefix(name))
        }
        guard let hit = hits.first else { throw .unknownVersion(name) }
        guard hits.count == 1 else { throw .ambiguous(name, hits.map(\.fingerprint.short)) }
        return hit
    }

    public func manifest(of version: Fingerprint) throws(StoreError) -> VersionManifest {
        let path = layout.manifest(version)
        guard disk.exists(path) else { throw .unknownVersion("\(version)") }
        let bytes = try onDisk { () throws(DiskError) in try disk.read(path, atMost: 64 << 20) }
        let json: JSON
        do { json = try JSON(parsing: bytes) } catch {
            throw .damaged(file: path, expected: "a manifest", found: error.message.en)
        }
        let manifest = try VersionManifest(json, file: path)
        guard manifest.fingerprint == version else {
            throw .damaged(file: path, expected: "\(version)", found: "\(manifest.fingerprint)")
        }
        return manifest
    }

    /// The version's contents, served from their mappings. Digests are not taken anew here (that would read every
    /// byte); that the manifest is the one of this fingerprint is.
    public func contents(of manifest: VersionManifest) throws(StoreError) -> ModelContents {
        let path = layout.vocabulary(manifest.vocabulary)
        let text = try onDisk { () throws(DiskError) in try disk.read(path, atMost: 64 << 20) }
        let pieces = text.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        var tensors: [StoredTensor] = []
        var digests: [String: Digest] = [:]
        for tensor in manifest.tensors {
            tensors.append(try stored(tensor))
            digests[tensor.entry.name] = tensor.entry.digest
        }
        let contents: ModelContents
        do {
            contents = try ModelContents(
                shape: manifest.shape, tokenizer: manifest.tokenizer, pieces: pieces, tensors: tensors,
                calibration: manifest.calibration.map { Array($0.utf8) }, release: manifest.release,
                epoch: manifest.epoch, line: manifest.line)
        } catch { throw .format(error) }
        let fingerprint = contents.fingerprint(digests: digests)
        guard fingerprint == manifest.fingerprint else {
            throw .damaged(
                file: layout.manifest(manifest.fingerprint), expected: "contents of that fingerprint",
                found: "\(fingerprint)")
        }
        return contents
    }

    private func stored(_ tensor: VersionManifest.Tensor) throws(StoreError) -> StoredTensor {
        let entry = tensor.entry
        do {
            guard let rows = tensor.rows else {
                let file = try onDisk { () throws(DiskError) in try mappings.file(layout.tensor(entry.digest)) }
                return try StoredTensor(name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: file)
            }
            let payload = try onDisk { () throws(DiskError) in try MappedFile(layout.rows(rows.payload)) }
            let file: OverlaidFile
            do {
                file = try OverlaidFile(layout.tensor(rows.source)) { target throws(PatchError) in
                    try RowPayload(payload, entry).write(over: target)
                }
            } catch {
                switch error {
                case .disk(let error): throw StoreError.disk(error)
                case .change(let error): throw StoreError.patch(error)
                }
            }
            return try StoredTensor(name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: file)
        } catch let error as ModelFormatError {
            throw .format(error)
        } catch let error as StoreError {
            throw error
        } catch { preconditionFailure("nothing else is thrown above: \(error)") }
    }

    /// Reads every byte of a version and takes its digests anew: seconds for a large one.
    ///
    /// - Throws: `.damaged` with the file that is not what was written.
    public func verify(_ manifest: VersionManifest) throws(StoreError) {
        let contents = try contents(of: manifest)
        for tensor in manifest.tensors {
            let entry = tensor.entry
            guard let digest = contents[entry.name]?.withBytes({ Digest(of: $0) }), digest == entry.digest else {
                throw .damaged(file: layout.tensor(entry.digest), expected: "the bytes it is named by", found: "others")
            }
        }
    }
}

import Disk
import Glibc
public import Engine
public import ModelFormat
public import ModelStore

/// A version's matrices as the fast path reads them, from the store's files.
struct PackedVersion {
    let store: ModelStore
    let manifest: VersionManifest
    let matrices: [PackedMatrix]

    init(_ manifest: VersionManifest, _ contents: ModelContents, in store: ModelStore) {
        (self.store, self.manifest) = (store, manifest)
        matrices = PackedMatrix.all(of: contents, learned: manifest.learned)
    }

    /// Mapped; what has no file is packed here and now, in memory.
    func weights(isa: ISA) throws(EngineError) -> PackedWeights {
        var all: [(name: String, bytes: SharedBytes)] = []
        for matrix in matrices {
            if let file = file(of: matrix) {
                all.append((matrix.tensor.name, file))
            } else {
                all.append((matrix.tensor.name, try matrix.packed(isa: isa)))
            }
        }
        return PackedWeights(all)
    }

    /// Writes the files that are missing. A disk that refuses one does not matter: see `weights`.
    func keep(isa: ISA, on place: Lanes.Place) async {
        // Tensors of equal bytes share a file, which one lane alone may write.
        var names: Set<String> = []
        let missing = matrices.filter { matrix in
            guard file(of: matrix) == nil, let digest = manifest.digest(of: matrix.tensor.name) else { return false }
            return names.insert("\(digest).\(matrix.form)").inserted
        }.sorted { $0.byteCount > $1.byteCount }
        _ = await Lanes.map(missing, on: place) { matrix in
            guard let digest = manifest.digest(of: matrix.tensor.name), let bytes = try? matrix.packed(isa: isa) else { return }
            try? store.keepPacked(bytes, of: digest, form: matrix.form)
        }
    }

    /// Packs everything anew and compares: as sure as a digest, and a tenth of its cost.
    ///
    /// - Returns: tensors whose files are not what they must be.
    func damaged(isa: ISA) -> [PackedMatrix] {
        matrices.filter { matrix in
            guard let file = file(of: matrix), let fresh = try? matrix.packed(isa: isa) else { return false }
            return !file.withBytes { kept in fresh.withBytes { made in isEqual(kept, made) } }
        }
    }

    /// Whoever opens the version next makes them anew.
    func remove(_ matrices: [PackedMatrix]) {
        for matrix in matrices {
            guard let digest = manifest.digest(of: matrix.tensor.name) else { continue }
            try? store.removePacked(digest, form: matrix.form)
        }
    }

    private func isEqual(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard one.count == other.count, let start = one.baseAddress, let otherStart = other.baseAddress else { return false }
        return memcmp(start, otherStart, one.count) == 0
    }

    private func file(of matrix: PackedMatrix) -> MappedFile? {
        guard let digest = manifest.digest(of: matrix.tensor.name) else { return nil }
        return store.packed(digest, form: matrix.form, count: matrix.byteCount)
    }
}

extension PackedMatrix {
    /// Part of a file's name.
    fileprivate var form: String { "\(planes)x8.\(Self.layout)" }
}

extension ModelStore {
    /// Writes what the version's fast path needs, where it is not there: so that who opens it next only maps.
    public func keepPacked(_ manifest: VersionManifest, isa: ISA = .best, on place: Lanes.Place) async {
        guard let contents = try? contents(of: manifest) else { return }
        await PackedVersion(manifest, contents, in: self).keep(isa: isa, on: place)
    }
}

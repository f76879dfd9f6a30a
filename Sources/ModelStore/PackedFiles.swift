public import Disk
public import ModelFormat

/// What the engine makes of tensors to compute with (`packed/`): kept beside them, named by the tensor's digest and by how
/// it is packed. Nothing is lost with such a file: it can be made again from its tensor at any time, so it is part of no
/// version, and what refuses to be written is done without.
extension ModelStore {
    /// - Parameters:
    ///   - form: how it is packed; a form of another program's version is another file.
    ///   - count: bytes it must have.
    /// - Returns: the file, mapped; nil where there is none of that length.
    public func packed(_ tensor: Digest, form: String, count: Int) -> MappedFile? {
        guard let file = try? mappings.file(layout.packed(tensor, form)), file.count == count else { return nil }
        return file
    }

    /// Whole and durable when it has its name.
    public func keepPacked(_ bytes: SharedBytes, of tensor: Digest, form: String) throws(StoreError) {
        try onDisk { () throws(DiskError) in
            try disk.makeFolder(layout.packedFolder)
            let path = layout.packed(tensor, form), partial = path + ".partial"
            do throws(DiskError) {
                try bytes.withBytes { raw throws(DiskError) in try disk.writeNew(raw, to: partial) }
                try disk.renameUnsynced(partial, to: path)
            } catch {
                // What is done without is not kept in half either: the disk may be full.
                try? disk.remove(partial)
                throw error
            }
        }
    }

    /// It is not what its tensor makes: whoever has it mapped keeps it.
    public func removePacked(_ tensor: Digest, form: String) throws(StoreError) {
        mappings.forget(layout.packed(tensor, form))
        try onDisk { () throws(DiskError) in try disk.remove(layout.packed(tensor, form)) }
    }

    /// Of no tensor of the kept versions.
    func unreferencedPacked(_ versions: [VersionManifest]) throws(StoreError) -> [String] {
        guard disk.isFolder(layout.packedFolder) else { return [] }
        let digests = Set(versions.flatMap { $0.tensors.map { "\($0.entry.digest)" } })
        return try onDisk { () throws(DiskError) in
            try disk.list(layout.packedFolder).filter { !digests.contains(String($0.prefix { $0 != "." })) }.map {
                layout.packedFolder + "/" + $0
            }
        }
    }
}

extension VersionManifest {
    /// Names of tensors that patches have changed since the line began.
    public var learned: Set<String> { Set(tensors.filter(\.isLearned).map(\.entry.name)) }

    /// Of a tensor's bytes; nil where the version has no tensor of that name.
    public func digest(of tensor: String) -> Digest? { tensors.first { $0.entry.name == tensor }?.entry.digest }
}

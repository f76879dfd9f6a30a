import Disk
public import ModelFormat

extension ModelStore {
    /// The version that a rollback without a name goes to.
    ///
    /// - Throws: `.noSnapshot` where there is none: nothing was committed since the start or since the last rollback.
    public func snapshot() throws(StoreError) -> VersionManifest {
        guard let previous = try previous(), try previous != current() else { throw .noSnapshot }
        return try manifest(of: previous)
    }

    /// Goes back to the snapshot by one rename, which needs no space and leaves no snapshot: a second rollback must not
    /// bring the bad version back. Or to any kept version.
    ///
    /// - Returns: what is current now.
    @discardableResult
    public func goBack(to version: Fingerprint? = nil) throws(StoreError) -> VersionManifest {
        let target: VersionManifest
        if let version { target = try manifest(of: version) } else { target = try snapshot() }
        if (try? current()) == target.fingerprint { return target }
        let isSnapshot = (try? previous()) == target.fingerprint
        try onDisk { () throws(DiskError) in
            if isSnapshot { return try disk.rename(layout.previous, to: layout.current) }
            try disk.remove(layout.previous)
            try disk.writeDurably("\(target.fingerprint)\n", to: layout.current)
        }
        return target
    }

    /// That version is what a rollback goes to; nothing where it is already.
    public func keepSnapshot(_ version: Fingerprint) throws(StoreError) {
        if (try? previous()) == version { return }
        try onDisk { () throws(DiskError) in try disk.writeDurably("\(version)\n", to: layout.previous) }
    }

    // MARK: - Attempts

    /// Starts of this version that have not proved themselves, this one not counted.
    public func attempts(of version: Fingerprint) throws(StoreError) -> Int {
        guard disk.exists(layout.attempts) else { return 0 }
        let bytes = try onDisk { () throws(DiskError) in try disk.read(layout.attempts, atMost: 200) }
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count == 2, words[0] == "\(version)" else { return 0 }
        return Int(words[1]) ?? 0
    }

    public func countAttempt(of version: Fingerprint) throws(StoreError) {
        let count = try attempts(of: version) + 1
        try onDisk { () throws(DiskError) in try disk.writeDurably("\(version) \(count)\n", to: layout.attempts) }
    }

    /// The version has answered for a while, or was stopped on purpose.
    public func forgetAttempts() throws(StoreError) {
        try onDisk { () throws(DiskError) in try disk.remove(layout.attempts) }
    }

    // MARK: - Damage

    /// Removes files of the version whose bytes are not what they are named by, so that an import can write them anew.
    /// Whoever has them mapped keeps them.
    ///
    /// - Returns: their names, and those of files that are not there; empty for a version that is whole.
    public func removeDamaged(of manifest: VersionManifest) throws(StoreError) -> [String] {
        var damaged: [String] = []
        for tensor in manifest.tensors {
            let names = tensor.rows.map { [(layout.tensor($0.source), $0.source), (layout.rows($0.payload), $0.payload)] }
                ?? [(layout.tensor(tensor.entry.digest), tensor.entry.digest)]
            for (path, digest) in names {
                guard disk.exists(path) else {
                    damaged.append(path)
                    continue
                }
                let found = try onDisk { () throws(DiskError) in try MappedFile(path).withBytes { Digest(of: $0) } }
                guard found != digest else { continue }
                try onDisk { () throws(DiskError) in try disk.remove(path) }
                damaged.append(path)
            }
        }
        return damaged
    }

    // MARK: - Retention

    /// Removes versions beyond the newest `count`, never the current one or the snapshot, and every file that no kept
    /// version refers to. Mappings of removed files stay valid (unlink(2)).
    ///
    /// - Returns: the versions removed.
    @discardableResult
    public func retain(_ count: Int, beside protected: Set<Fingerprint> = []) throws(StoreError) -> [VersionManifest] {
        let safe = protected.union([try current(), try previous()].compactMap { $0 })
        let all = try versions().sorted { ($0.created, $0.epoch) > ($1.created, $1.epoch) }
        let removed = all.enumerated().filter { $0.offset >= count && !safe.contains($0.element.fingerprint) }.map(\.element)
        for version in removed {
            try onDisk { () throws(DiskError) in try disk.remove(layout.manifest(version.fingerprint)) }
        }
        try removeUnreferenced()
        return removed
    }

    /// Files of no kept version: left by a merge that was interrupted, or by a version that was removed.
    public func unreferenced() throws(StoreError) -> [String] {
        var names: Set<String> = []
        let versions = try versions()
        for version in versions {
            names.insert("\(version.vocabulary)")
            for tensor in version.tensors {
                if let rows = tensor.rows {
                    names.formUnion(["\(rows.source)", "\(rows.payload)"])
                } else {
                    names.insert("\(tensor.entry.digest)")
                }
            }
        }
        let packed = try unreferencedPacked(versions)
        return try onDisk { () throws(DiskError) in
            var paths = packed
            for folder in [layout.tensors, layout.rows, layout.vocabularies] {
                paths += try disk.list(folder).filter { !names.contains($0) }.map { folder + "/" + $0 }
            }
            return paths
        }
    }

    func removeUnreferenced() throws(StoreError) {
        for path in try unreferenced() { try onDisk { () throws(DiskError) in try disk.remove(path) } }
    }
}

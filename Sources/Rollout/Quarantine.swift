package import Disk

/// Copies of refused files, for who wants to know what came: at most 20 files and 1 GB, the oldest go first.
package struct Quarantine: Sendable {
    private static let mostFiles = 20
    private static let mostBytes = 1 << 30

    let folder: String
    let disk: Disk

    package init(folder: String, disk: Disk) { (self.folder, self.disk) = (folder, disk) }

    /// Takes a staged copy over, by rename.
    package func take(_ path: String, named name: String) throws(DiskError) {
        try disk.makeFolder(folder, mode: 0o700)
        try disk.renameUnsynced(path, to: "\(folder)/\(WallClock.nanoseconds)-\(name)")
        // Names begin with the time: their order is their age.
        let all = try disk.list(folder)
        var (files, bytes) = (0, 0)
        for old in all.reversed() {
            files += 1
            bytes += (try? MappedFile(folder + "/" + old, followingLinks: false).count) ?? 0
            if files > Self.mostFiles || bytes > Self.mostBytes { try disk.remove(folder + "/" + old) }
        }
    }
}

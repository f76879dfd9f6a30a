import Disk

/// The folder's files of terms, in the order in which they count.
struct TermFiles {
    struct File: Sendable, Equatable {
        let name: String
        /// nil for a name that cannot be looked up, as one that is no UTF-8.
        let entry: FolderHandle.Entry?
    }

    let files: [File]
    private let folder: FolderHandle

    /// Only ordinary files `*.txt` that are not hidden: editors and copying programs leave the others.
    init(_ path: String, disk: Disk) throws(DiskError) {
        let folder = try FolderHandle(path)
        files = try disk.list(path).compactMap { name in
            guard name.utf8.first != UInt8(ascii: "."), name.utf8.suffix(4).elementsEqual(".txt".utf8) else {
                return nil
            }
            let entry = folder.entry(name)
            return entry == nil || entry?.kind == .file ? File(name: name, entry: entry) : nil
        }
        self.folder = folder
    }

    /// Reads and never maps: who edits a file in place shortens it first, and a mapping would end the process.
    /// What is added to it meanwhile is seen by the next look.
    ///
    /// - Parameter limit: bytes.
    func read(_ file: File, atMost limit: Int) throws(DiskError) -> [UInt8] {
        let size = file.entry?.size ?? 0
        guard size <= limit else { throw .tooLarge(path: folder.path + "/" + file.name, limit: limit, found: size) }
        return try folder.read(file.name, first: size)
    }
}

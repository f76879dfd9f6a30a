import Disk
import Synchronization

/// Files of the store that are mapped now, each once: a patched version holds the very mappings of its base for what
/// the patch left alone, and so neither page tables nor page faults of its own.
final class Mappings: Sendable {
    private struct Entry {
        weak var file: MappedFile?
    }
    private let entries = Mutex<[String: Entry]>([:])

    /// Whoever asks next gets what is there then.
    func forget(_ path: String) { entries.withLock { _ = $0.removeValue(forKey: path) } }

    func file(_ path: String) throws(DiskError) -> MappedFile {
        if let file = entries.withLock({ $0[path]?.file }) { return file }
        let file = try MappedFile(path)
        return entries.withLock { entries in
            // Somebody else may have mapped it meanwhile.
            if let there = entries[path]?.file { return there }
            entries = entries.filter { $0.value.file != nil }
            entries[path] = Entry(file: file)
            return file
        }
    }
}

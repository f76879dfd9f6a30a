import Disk

/// Another one whenever the folder's terms may be other ones: names, inodes, sizes and times of the files are in it.
///
/// Take it before reading, so that a change during the reading is seen by the next look. A change in place that
/// keeps the size and falls into the same tick of the file system's clock (some milliseconds) cannot be seen.
public struct TermStamp: Sendable, Equatable {
    private let files: [TermFiles.File]
    private let refusal: DiskError?

    init(folder: String) {
        do throws(DiskError) {
            files = try TermFiles(folder, disk: Disk()).files
            refusal = nil
        } catch {
            files = []
            refusal = error
        }
    }
}

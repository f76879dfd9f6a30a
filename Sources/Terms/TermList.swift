public import Disk
import Glibc

/// A site's own vocabulary, from the files `terms.d/*.txt`: UTF-8, a term a line, LF or CRLF;
///
///     TERM[<TAB>WEIGHT[<TAB>DOMAIN]]
///
/// Blanks around a field do not count, and an empty WEIGHT or DOMAIN is none. `#` begins a comment line.
public struct TermList: Sendable, Equatable {
    /// Each text once, where it came first; what it is there is what the last line of the last file says. Texts that
    /// are canonically equivalent in Unicode are the same.
    public let terms: [Term]
    /// In the order of reading, the first 100.
    public let faults: [TermFault]
    /// How many faults there were beyond those.
    public let furtherFaults: Int
    /// How many files could be read.
    public let files: Int

    /// - Parameter terms: each text once.
    public init(terms: [Term] = [], faults: [TermFault] = [], furtherFaults: Int = 0, files: Int = 0) {
        self.terms = terms
        self.faults = faults
        self.furtherFaults = furtherFaults
        self.files = files
    }

    public static let mostTerms = 100_000
    public static let mostFaults = 100
    /// Bytes of a file.
    public static let mostBytes = 16 << 20

    /// Reads what can be read; the rest is a fault, and only that. No folder is no terms.
    public static func read(folder: String, disk: Disk) -> TermList {
        var collection = TermCollection()
        do throws(DiskError) {
            let all = try TermFiles(folder, disk: disk)
            for file in all.files {
                do throws(DiskError) {
                    collection.add(try all.read(file, atMost: mostBytes), of: file.name)
                } catch {
                    collection.add(.unreadable(file: file.name, error: error))
                }
            }
        } catch .system(_, _, ENOENT) {
            return TermList()
        } catch {
            collection.add(.unreadable(file: folder, error: error))
        }
        return collection.list
    }

    /// Looks at the files without opening them.
    public static func stamp(folder: String) -> TermStamp { TermStamp(folder: folder) }
}

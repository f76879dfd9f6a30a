import Disk
import Foundation
import TestSupport
import Terms
import Testing

@Suite("the stamp of a folder of terms")
struct TermStampTests {
    private let folder: TemporaryFolder
    private var terms: String { folder.path + "/terms.d" }

    init() throws {
        folder = try TemporaryFolder()
        try Disk().makeFolder(folder.path + "/terms.d")
        try write("甲", "a.txt")
    }

    private func write(_ text: String, _ name: String) throws { try Disk().writeDurably(text, to: terms + "/" + name) }

    /// Whether what is done is seen.
    private func changes(_ body: () throws -> Void) rethrows -> Bool {
        let before = TermList.stamp(folder: terms)
        try body()
        return TermList.stamp(folder: terms) != before
    }

    @Test("it stays the same while nothing changes, also by reading")
    func same() {
        #expect(!changes {})
        #expect(!changes { _ = TermList.read(folder: terms, disk: Disk()) })
    }

    @Test("a file that comes, goes, or gets another name is seen")
    func names() throws {
        #expect(try changes { try write("乙", "b.txt") })
        #expect(try changes { try Disk().rename(terms + "/b.txt", to: terms + "/c.txt") })
        #expect(try changes { try Disk().remove(terms + "/c.txt") })
    }

    @Test("another size, another file of the same name, and another time by a nanosecond are seen")
    func contents() throws {
        #expect(changes { truncate(terms + "/a.txt", 2) })
        #expect(try changes { try write("乙", "a.txt") })
        func touch(_ nanoseconds: Int) {
            var times = [timespec(tv_sec: 1_700_000_000, tv_nsec: nanoseconds), timespec(tv_sec: 1_700_000_000, tv_nsec: nanoseconds)]
            utimensat(AT_FDCWD, terms + "/a.txt", &times, 0)
        }
        touch(1)
        #expect(changes { touch(2) })
    }

    @Test("what is never read is not seen: hidden files, other names, other kinds")
    func others() throws {
        #expect(try !changes { try write("乙", ".a.txt.swp") })
        #expect(try !changes { try write("乙", ".b.txt") })
        #expect(try !changes { try write("乙", "README") })
        #expect(try !changes { try Disk().makeFolder(terms + "/d.txt") })
    }

    @Test("a folder that goes, comes back empty, or becomes a file is seen each time")
    func folders() throws {
        #expect(try changes { try Disk().remove(terms) })
        #expect(!changes {})
        #expect(try changes { try Disk().makeFolder(terms) })
        #expect(try changes {
            try Disk().remove(terms)
            try Disk().writeDurably("", to: terms)
        })
    }
}

import Disk
import Explain
import Foundation
import TestSupport
import Terms
import Testing

@Suite("a folder of terms")
struct TermListTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ text: String, _ name: String) throws { try Disk().writeDurably(text, to: folder.path + "/" + name) }
    private var list: TermList { TermList.read(folder: folder.path, disk: Disk()) }
    private func lines(_ range: Range<Int>) -> String { range.map { "词\($0)\n" }.joined() }

    @Test("no folder and an empty one are empty lists without faults")
    func nothing() {
        #expect(list == TermList())
        #expect(TermList.read(folder: folder.path + "/none/terms.d", disk: Disk()) == TermList())
    }

    @Test("a folder that is a file is one fault")
    func noFolder() throws {
        try write("甲", "a.txt")
        let list = TermList.read(folder: folder.path + "/a.txt", disk: Disk())
        #expect(list.terms.isEmpty && list.files == 0)
        let error = DiskError.system(call: "open", path: folder.path + "/a.txt", code: ENOTDIR)
        #expect(list.faults == [.unreadable(file: folder.path + "/a.txt", error: error)])
        #expect(list.faults[0].message == error.message && list.faults[0].line == 0)
    }

    @Test("files are read in the order of their names' bytes")
    func order() throws {
        for name in ["b.txt", "B.txt", "医.txt", "10.txt", "9.txt"] { try write(name, name) }
        #expect(list.terms.map(\.text) == ["10.txt", "9.txt", "B.txt", "b.txt", "医.txt"])
        #expect(list.files == 5)
    }

    @Test("only ordinary files that end in .txt and are not hidden are read", .timeLimit(.minutes(1)))
    func kinds() throws {
        try write("甲", "a.txt")
        for name in [".txt", ".b.txt", "a.txt~", "a.TXT", "a.text", "txt", "a.txt.partial"] { try write("乙", name) }
        try Disk().makeFolder(folder.path + "/d.txt")
        try write("乙", "d.txt/e.txt")
        mkfifo(folder.path + "/f.txt", 0o600)
        symlink(folder.path + "/a.txt~", folder.path + "/l.txt")
        symlink("/dev/zero", folder.path + "/z.txt")
        #expect(list == TermList(terms: [Term(text: "甲")], files: 1))
    }

    @Test("each text is there once: where it came first, as the last line of the last file says")
    func last() throws {
        try write("甲\t2\t旧\n乙\n甲\t3\n", "a.txt")
        try write("丙\n乙\t5\n甲\t\t新\n", "b.txt")
        #expect(list.terms == [Term(text: "甲", domain: "新"), Term(text: "乙", weight: 5), Term(text: "丙")])
        #expect(list.faults.isEmpty)
    }

    @Test("a bad line does not undo a good one before it")
    func badLast() throws {
        try write("甲\t2\n甲\t9999\n", "a.txt")
        #expect(list.terms == [Term(text: "甲", weight: 2)] && list.faults.map(\.line) == [2])
    }

    @Test("texts that Unicode holds to be the same are one, so that a dictionary may have them as keys")
    func equivalent() throws {
        try write("é\ne\u{301}\t2\n", "a.txt")
        #expect(list.terms == [Term(text: "é", weight: 2)])
    }

    @Test("100 faults are kept, in the order of reading, and the rest is counted")
    func manyFaults() throws {
        try write(String(repeating: "甲\t0\n", count: 60) + "乙\n", "a.txt")
        try write(String(repeating: "甲\t0\n", count: 60) + "丙\n", "b.txt")
        #expect(list.terms.map(\.text) == ["乙", "丙"])
        #expect(list.faults.count == 100 && list.furtherFaults == 20)
        #expect(list.faults.map(\.file) == Array(repeating: "a.txt", count: 60) + Array(repeating: "b.txt", count: 40))
        #expect(list.faults.map(\.line) == Array(1...60) + Array(1...40))
    }

    @Test("a file of 16 MiB is read, a larger one is a fault of line 0, and the others count")
    func large() throws {
        try write("甲", "a.txt")
        try write("# " + String(repeating: "x", count: 1000) + "\n乙\n#", "b.txt")
        try write("丙", "c.txt")
        #expect(truncate(folder.path + "/c.txt", (16 << 20) + 1) == 0)
        let error = DiskError.tooLarge(path: folder.path + "/c.txt", limit: 16 << 20, found: (16 << 20) + 1)
        #expect(list.faults == [.unreadable(file: "c.txt", error: error)])
        #expect(list.terms.map(\.text) == ["甲", "乙"] && list.files == 2)
        #expect(list.faults[0].line == 0 && list.faults[0].file == "c.txt")
        #expect(list.faults[0].detail == Detail(field: "c.txt:0", expected: "at most 16777216 bytes", found: "16777217"))
        // The zeros behind the comment are part of it.
        #expect(truncate(folder.path + "/b.txt", 16 << 20) == 0)
        #expect(list.terms.map(\.text) == ["甲", "乙"])
    }

    @Test("a file of 16 MiB of empty lines is no terms and no faults")
    func emptyLines() throws {
        try write(String(repeating: "\n", count: 16 << 20), "a.txt")
        #expect(list == TermList(files: 1))
    }

    @Test("a file whose name is no UTF-8 cannot be read, and is a fault of line 0")
    func unreadable() throws {
        try write("甲", "a.txt")
        // GBK for 天.
        let odd: [CChar] = Array(folder.path.utf8CString.dropLast()) + [0x2F, -52, -20, 0x2E, 0x74, 0x78, 0x74, 0]
        let file = open(odd, O_CREAT | O_WRONLY, 0o600)
        #expect(file >= 0)
        close(file)
        #expect(list.terms == [Term(text: "甲")] && list.files == 1)
        let fault = try #require(list.faults.first)
        guard case .unreadable(_, .system("open", _, ENOENT)) = fault, fault.line == 0, list.faults.count == 1 else {
            Issue.record("\(list.faults)")
            return
        }
    }

    @Test("a file without permission is a fault of line 0", .disabled(if: geteuid() == 0, "root may read everything"))
    func forbidden() throws {
        try write("甲", "a.txt")
        try write("乙", "b.txt")
        chmod(folder.path + "/a.txt", 0)
        #expect(list.terms == [Term(text: "乙")])
        #expect(list.faults == [
            .unreadable(file: "a.txt", error: .system(call: "open", path: folder.path + "/a.txt", code: EACCES))
        ])
    }

    @Test("10 000 terms with weights and domains are all there")
    func many() throws {
        try write((0..<10_000).map { "词\($0)\t\(2 + $0 % 9)\t域\($0 % 7)\r\n" }.joined(), "a.txt")
        let list = list
        #expect(list.terms.count == 10_000 && list.faults.isEmpty && list.files == 1)
        #expect(list.terms[9_999] == Term(text: "词9999", weight: 2, domain: "域3"))
        #expect(Set(list.terms.map(\.text)).count == 10_000)
    }

    @Test("100 000 terms are read; beyond them one fault says so, and those that are there can still be changed")
    func tooMany() throws {
        try write(lines(0..<100_000), "a.txt")
        #expect(list.terms.count == 100_000 && list.faults.isEmpty)
        try write("# more\n" + lines(99_999..<100_050) + "词7\t2\n", "b.txt")
        let list = list
        #expect(list.terms.count == 100_000 && list.terms.last?.text == "词99999")
        #expect(list.faults == [.tooMany(file: "b.txt", line: 3, limit: 100_000)] && list.furtherFaults == 0)
        #expect(list.faults[0].message.en == "b.txt, line 3: expected at most 100000 terms, found another one")
        #expect(list.terms[7] == Term(text: "词7", weight: 2))
    }

    @Test("with 100 faults kept, the one of too many terms is counted like any other")
    func tooManyFaults() throws {
        try write(String(repeating: "甲\t0\n", count: 100) + lines(0..<100_001), "a.txt")
        #expect(list.terms.count == 100_000 && list.faults.count == 100 && list.furtherFaults == 1)
    }
}

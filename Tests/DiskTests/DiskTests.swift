import Disk
import Foundation
import TestSupport
import Testing

@Suite("the one door to files")
struct DiskTests {
    private let folder: TemporaryFolder
    private var path: String { folder.path }

    init() throws { folder = try TemporaryFolder() }

    @Test("what is written durably is read back, and replaces what was there")
    func write() throws {
        let disk = Disk()
        try disk.writeDurably("one\n", to: path + "/file")
        try disk.writeDurably("two\n", to: path + "/file")
        #expect(try disk.read(path + "/file", atMost: 100) == Array("two\n".utf8))
        #expect(try disk.list(path) == ["file"])
    }

    @Test("a write that fails at any step leaves the old file or the new one, and nothing else")
    func faults() throws {
        let counting = FaultPlan(failingAt: nil)
        try Disk(faults: counting).writeDurably("counted", to: path + "/other")
        try Disk().remove(path + "/other")
        for step in 0..<counting.steps {
            try Disk().writeDurably("old", to: path + "/file")
            #expect(throws: DiskError.self, "step \(step)") {
                try Disk(faults: FaultPlan(failingAt: step)).writeDurably("new", to: path + "/file")
            }
            let text = String(decoding: try Disk().read(path + "/file", atMost: 100), as: UTF8.self)
            #expect(text == "old" || text == "new")
            #expect(try Disk().list(path) == ["file"])
        }
    }

    @Test("a FIFO, a folder, a loop of links and a missing file are refused without waiting, each with its reason")
    func notFiles() throws {
        mkfifo(path + "/fifo", 0o600)
        symlink(path + "/loop", path + "/loop")
        #expect(throws: DiskError.notRegular(path: path + "/fifo", found: "a FIFO")) { try MappedFile(path + "/fifo") }
        #expect(throws: DiskError.notRegular(path: path, found: "a folder")) { try MappedFile(path) }
        #expect(throws: DiskError.system(call: "open", path: path + "/loop", code: ELOOP)) { try MappedFile(path + "/loop") }
        #expect(throws: DiskError.system(call: "open", path: path + "/none", code: ENOENT)) { try MappedFile(path + "/none") }
    }

    @Test("a file larger than allowed is refused before it is in memory")
    func tooLarge() throws {
        try Disk().writeDurably("12345", to: path + "/file")
        #expect(throws: DiskError.tooLarge(path: path + "/file", limit: 4, found: 5)) {
            try Disk().read(path + "/file", atMost: 4)
        }
    }

    @Test("an empty file maps to no bytes")
    func empty() throws {
        try Disk().writeDurably("", to: path + "/file")
        #expect(try MappedFile(path + "/file").count == 0)
    }

    @Test("a mapping outlives its file's name")
    func mapping() throws {
        try Disk().writeDurably("old", to: path + "/file")
        let mapped = try MappedFile(path + "/file")
        try Disk().writeDurably("new", to: path + "/file")
        try Disk().remove(path + "/file")
        #expect(mapped.withBytes { Array($0) } == Array("old".utf8))
    }

    @Test("bytes that are being read stay mapped although nobody else holds the file (was: unmapped after its last use)")
    func lifetime() throws {
        try Disk().writeDurably(String(repeating: "x", count: 100_000), to: path + "/file")
        for _ in 0..<100 {
            #expect(try MappedFile(path + "/file").withBytes { Array($0) } == Array(repeating: UInt8(ascii: "x"), count: 100_000))
        }
    }

    @Test("a lock that is refused closes its file once (was: twice, and the second time somebody else's)")
    func refusedLock() async throws {
        let lock = try FileLock(path + "/lock")
        let path = path
        let refusing = Task.detached { for _ in 0..<20_000 { _ = try? FileLock(path + "/lock") } }
        var lost = 0
        for _ in 0..<20_000 {
            let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
            var status = stat()
            if fstat(file, &status) != 0 { lost += 1 }
            close(file)
        }
        await refusing.value
        #expect(lost == 0)
        withExtendedLifetime(lock) {}
    }

    @Test("a lock is held by one, and free again after")
    func lock() throws {
        var lock: FileLock? = try FileLock(path + "/lock")
        #expect(throws: DiskError.locked(path: path + "/lock")) { try FileLock(path + "/lock") }
        withExtendedLifetime(lock) {}
        lock = nil
        _ = try FileLock(path + "/lock")
    }
}

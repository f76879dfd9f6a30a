import Disk
import Foundation
import TestSupport
import Testing

@Suite("faults and names")
struct FaultPlanTests {
    private let folder: TemporaryFolder
    private var path: String { folder.path }

    init() throws { folder = try TemporaryFolder() }

    private func text(_ path: String) throws -> String { String(decoding: try Disk().read(path, atMost: 1 << 20), as: UTF8.self) }

    @Test("a lasting fault fails that step and every later one, with its errno")
    func lasting() throws {
        let plan = FaultPlan(failingAt: 2, .lasting(28))
        let disk = Disk(faults: plan)
        var outcomes: [Int32] = []
        for number in 0..<5 {
            do throws(DiskError) {
                try disk.step("write", "x\(number)")
                outcomes.append(0)
            } catch {
                guard case .system("write", "x\(number)", let code) = error else { throw error }
                outcomes.append(code)
            }
        }
        #expect(outcomes == [0, 0, 28, 28, 28] && plan.steps == 5)
    }

    @Test("a single fault fails that step alone")
    func once() throws {
        let disk = Disk(faults: FaultPlan(failingAt: 1, .once(5)))
        try disk.step("write", "x")
        #expect(throws: DiskError.system(call: "write", path: "x", code: 5)) { try disk.step("write", "x") }
        try disk.step("write", "x")
        // And a whole write, one step later each time, succeeds beside it.
        try disk.writeDurably("whole", to: path + "/f")
        #expect(try text(path + "/f") == "whole")
    }

    @Test("a plan without a step only counts, the same for the same work")
    func counting() throws {
        let plans = (0..<2).map { _ in FaultPlan(failingAt: nil) }
        for (index, plan) in plans.enumerated() { try Disk(faults: plan).writeDurably("x", to: "\(path)/f\(index)") }
        #expect(plans[0].steps == plans[1].steps && plans[0].steps == 5)
    }

    @Test("reading takes no step")
    func reading() throws {
        try Disk().writeDurably("x", to: path + "/f")
        let plan = FaultPlan(failingAt: 0)
        let disk = Disk(faults: plan)
        _ = try disk.read(path + "/f", atMost: 10)
        _ = try disk.list(path)
        _ = try disk.listAll(path)
        _ = try disk.freeBytes(at: path)
        _ = disk.availableMemory()
        #expect(disk.exists(path + "/f") && disk.isFolder(path) && plan.steps == 0)
    }

    @Test("a link is another name of the same file, and is refused over one that is there")
    func link() throws {
        let disk = Disk()
        try disk.writeNew("a", to: path + "/a")
        try disk.link(path + "/a", to: path + "/b")
        var (one, two) = (stat(), stat())
        #expect(stat(path + "/a", &one) == 0 && stat(path + "/b", &two) == 0 && one.st_ino == two.st_ino)
        #expect(throws: DiskError.system(call: "link", path: path + "/b", code: EEXIST)) { try disk.link(path + "/a", to: path + "/b") }
        #expect(throws: DiskError.self) { try Disk(faults: FaultPlan(failingAt: 0)).link(path + "/a", to: path + "/c") }
        #expect(try disk.list(path) == ["a", "b"])
    }

    @Test("all files beneath a folder are listed, at any depth, in order")
    func listAll() throws {
        let disk = Disk()
        for inner in ["z", "a/b/c", "a"] { try disk.makeFolder(path + "/" + inner) }
        for file in ["z/1", "a/b/c/2", "a/3", "4"] { try disk.writeNew("", to: path + "/" + file) }
        symlink("/nowhere", path + "/z/link")
        #expect(try disk.listAll(path) == ["4", "a/3", "a/b/c/2", "z/1", "z/link"].map { path + "/" + $0 })
        #expect(throws: DiskError.self) { try disk.listAll(path + "/none") }
    }

    @Test("full is no space and no quota, and nothing else")
    func isFull() {
        for (code, isFull) in [(ENOSPC, true), (EDQUOT, true), (EIO, false), (EACCES, false), (EROFS, false), (ENOENT, false)] {
            #expect(DiskError.system(call: "write", path: "x", code: code).isFull == isFull)
        }
        #expect(!DiskError.locked(path: "x").isFull && !DiskError.tooLarge(path: "x", limit: 1, found: 2).isFull)
        #expect(DiskError.system(call: "write", path: "x", code: ENOSPC).hint != nil)
    }

    @Test("memory and space are told as numbers that a machine can have")
    func room() throws {
        #expect(try Disk().freeBytes(at: path) > 0)
        #expect(throws: DiskError.self) { try Disk().freeBytes(at: "/nowhere") }
        let memory = try #require(Disk().availableMemory())
        #expect(memory > 1 << 20 && memory < 1 << 50)
    }
}

import Disk
import Foundation
import TestSupport
import Testing

@Suite("a folder that others write to")
struct FolderHandleTests {
    private let folder: TemporaryFolder
    private let handle: FolderHandle
    private var drop: String { folder.path + "/drop" }

    init() throws {
        folder = try TemporaryFolder()
        try Disk().makeFolder(folder.path + "/drop")
        handle = try FolderHandle(folder.path + "/drop")
    }

    private func write(_ text: String, _ name: String) throws { try Disk().writeNew(text, to: drop + "/" + name) }
    private func text(_ path: String) throws -> String { String(decoding: try Disk().read(path, atMost: 1 << 20), as: UTF8.self) }

    @Test("names come sorted by bytes, an entry says what is there, and nothing is nil")
    func entries() throws {
        try write("abc", "b")
        try write("", "B")
        try write("", "春")
        #expect(try handle.names() == ["B", "b", "春"])
        // Twice: the position of the folder is the reader's own.
        #expect(try handle.names() == ["B", "b", "春"])
        let entry = try #require(handle.entry("b"))
        #expect(entry.kind == .file && entry.size == 3 && entry.inode > 0)
        #expect(handle.entry("none") == nil)
    }

    @Test("what is no file is told by its kind, and never opened: no link is followed, no FIFO waited for", .timeLimit(.minutes(1)), arguments: [
        "link", "dangling", "loop", "fifo", "folder", "socket", "device link",
    ])
    func noFiles(kind: String) throws {
        let path = drop + "/x"
        try Disk().writeNew("secret", to: folder.path + "/secret")
        var expected = FolderHandle.Entry.Kind.link
        switch kind {
        case "link": symlink(folder.path + "/secret", path)
        case "dangling": symlink("/nowhere", path)
        case "loop": symlink(path, path)
        case "device link": symlink("/dev/zero", path)
        case "fifo":
            mkfifo(path, 0o600)
            expected = .fifo
        case "folder":
            try Disk().makeFolder(path)
            expected = .folder
        default:
            // sun_path holds 108 bytes: a short way there.
            expected = .socket
            let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(socket) }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(path.utf8)
            try #require(bytes.count < 108)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
            let bound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
            try #require(bound == 0)
        }
        #expect(handle.entry("x")?.kind == expected)
        #expect(throws: DiskError.self) { try handle.read("x", first: 10) }
        #expect(throws: DiskError.self) { try handle.copy("x", to: folder.path + "/copy", atMost: 100, disk: Disk()) }
        #expect(!Disk().exists(folder.path + "/copy"))
    }

    @Test("a folder that is a link is opened, one that is a file or missing is refused")
    func opening() throws {
        symlink(drop, folder.path + "/way")
        #expect(try FolderHandle(folder.path + "/way").names() == [])
        try write("", "f")
        #expect(throws: DiskError.system(call: "open", path: drop + "/f", code: ENOTDIR)) { try FolderHandle(drop + "/f") }
        #expect(throws: DiskError.system(call: "open", path: "/nowhere", code: ENOENT)) { try FolderHandle("/nowhere") }
    }

    @Test("a beginning is read, up to what is there")
    func beginning() throws {
        try write("12345", "f")
        #expect(try handle.read("f", first: 3) == Array("123".utf8))
        #expect(try handle.read("f", first: 100) == Array("12345".utf8))
        #expect(try handle.read("f", first: 0) == [])
        #expect(throws: DiskError.self) { try handle.read("none", first: 3) }
    }

    @Test("a copy is whole up to the limit and is none beyond it", arguments: [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
    func limit(size: Int) throws {
        try write(String(repeating: "x", count: size), "f")
        try handle.copy("f", to: folder.path + "/copy", atMost: size, disk: Disk())
        #expect(try Disk().read(folder.path + "/copy", atMost: size).count == size)
        var status = stat()
        #expect(stat(folder.path + "/copy", &status) == 0 && status.st_mode & 0o777 == 0o600)
        try Disk().remove(folder.path + "/copy")
        guard size > 0 else { return }
        #expect(throws: DiskError.self) { try handle.copy("f", to: folder.path + "/copy", atMost: size - 1, disk: Disk()) }
        #expect(!Disk().exists(folder.path + "/copy"))
    }

    @Test("a copy that fails at any step leaves nothing")
    func copyFaults() throws {
        try write(String(repeating: "x", count: 3_000_000), "f")
        let counting = FaultPlan(failingAt: nil)
        try handle.copy("f", to: folder.path + "/copy", atMost: 1 << 30, disk: Disk(faults: counting))
        try Disk().remove(folder.path + "/copy")
        #expect(counting.steps >= 4)
        for step in 0..<counting.steps {
            #expect(throws: DiskError.self) {
                try handle.copy("f", to: folder.path + "/copy", atMost: 1 << 30, disk: Disk(faults: FaultPlan(failingAt: step, .once(28))))
            }
            #expect(!Disk().exists(folder.path + "/copy"), "step \(step)")
        }
    }

    @Test("a folder that was renamed, removed, or whose name stands for another one is not in place any more")
    func place() throws {
        #expect(handle.isInPlace)
        try write("", "f")
        try Disk().rename(drop, to: folder.path + "/other")
        #expect(!handle.isInPlace)
        try Disk().makeFolder(drop)
        #expect(!handle.isInPlace)
        // What is done goes to the folder that was opened.
        #expect(try handle.names() == ["f"])
        try handle.replace("g", with: [1], disk: Disk())
        #expect(try Disk().list(folder.path + "/other") == ["f", "g"] && Disk().list(drop).isEmpty)
        try Disk().remove(drop)
        try Disk().rename(folder.path + "/other", to: drop)
        #expect(handle.isInPlace)
        try Disk().remove(drop)
        #expect(!handle.isInPlace)
    }

    @Test("replacing over a link writes a file in its place, and not through it")
    func overLink() throws {
        try Disk().writeNew("victim", to: folder.path + "/victim")
        symlink(folder.path + "/victim", drop + "/r.status.json")
        try handle.replace("r.status.json", with: Array("ours".utf8), disk: Disk())
        #expect(try text(folder.path + "/victim") == "victim")
        #expect(try text(drop + "/r.status.json") == "ours")
        #expect(handle.entry("r.status.json")?.kind == .file)
        #expect(try handle.names() == ["r.status.json"])
    }

    @Test("replacing over a hard link leaves the other name as it is; over a folder it is refused and nothing is left")
    func overOthers() throws {
        try Disk().writeNew("victim", to: folder.path + "/victim")
        try Disk().link(folder.path + "/victim", to: drop + "/r")
        try handle.replace("r", with: Array("ours".utf8), disk: Disk())
        #expect(try text(folder.path + "/victim") == "victim")
        try Disk().makeFolder(drop + "/d")
        #expect(throws: DiskError.self) { try handle.replace("d", with: [1], disk: Disk()) }
        #expect(try handle.names() == ["d", "r"])
    }

    @Test("a replacing that fails at any step leaves the old file, and nothing else")
    func replaceFaults() throws {
        try write("old", "r")
        let counting = FaultPlan(failingAt: nil)
        try handle.replace("counted", with: [1], disk: Disk(faults: counting))
        try Disk().remove(drop + "/counted")
        for step in 0..<counting.steps {
            #expect(throws: DiskError.self) { try handle.replace("r", with: Array("new".utf8), disk: Disk(faults: FaultPlan(failingAt: step))) }
            #expect(try handle.names() == ["r"] && text(drop + "/r") == "old", "step \(step)")
        }
    }

    @Test("what an interrupted replacing left is removed, and nobody else's hidden file")
    func leftovers() throws {
        for name in [".a.tkp.zst.status.json.123.tmp", ".a.tkp.zst.Ab12Cd", ".b.tmp", "a.tkp.zst.status.json", "x.status.json.1.tmp"] { try write("", name) }
        try handle.removeLeftovers(of: ".status.json")
        #expect(try handle.names() == [".a.tkp.zst.Ab12Cd", ".b.tmp", "a.tkp.zst.status.json", "x.status.json.1.tmp"])
    }

    @Test("a name that is no UTF-8, or 255 bytes long, is listed and disturbs nobody")
    func oddNames() throws {
        let odd: [CChar] = Array(drop.utf8CString.dropLast()) + [0x2F, -1, 0x61, 0]
        let file = open(odd, O_CREAT | O_WRONLY, 0o600)
        #expect(file >= 0)
        close(file)
        let long = String(repeating: "n", count: 255)
        try write("long", long)
        #expect(try handle.names().count == 2)
        #expect(try handle.read(long, first: 4) == Array("long".utf8))
        let name = try #require(try handle.names().first { $0 != long })
        #expect(handle.entry(name) == nil)
    }
}

import Foundation
import TestSupport
import Testing
import Watch

private let hasLibrary = ["/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/lib64", "/lib"].contains {
    FileManager.default.fileExists(atPath: $0 + "/libinotifytools.so.0")
}

/// One FolderWatch at a time in a process: its library keeps its state in globals, and its thread ends within a second.
@Suite("a watched folder", .serialized)
struct FolderWatchTests {
    private let folder: TemporaryFolder
    private var drop: String { folder.path + "/drop" }

    init() throws {
        folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: drop, withIntermediateDirectories: true)
    }

    /// Counts what a watch says.
    private actor Count {
        private(set) var hints = 0
        private(set) var isOver = false
        func one() { hints += 1 }
        func end() { isOver = true }
    }

    private func watching(_ alwaysPolling: Bool = false, _ body: (FolderWatch, Count) async throws -> Void) async throws {
        let watch = FolderWatch([drop], alwaysPolling: alwaysPolling)
        let count = Count()
        let reading = Task {
            for await _ in watch.hints { await count.one() }
            await count.end()
        }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(watch, count)) } catch { outcome = .failure(error) }
        watch.stop()
        await reading.value
        #expect(await count.isOver)
        // The next one's thread must not meet this one's in the library.
        if !alwaysPolling { try await Task.sleep(for: .milliseconds(1200)) }
        try outcome.get()
    }

    private func until(_ time: Duration = .seconds(5), _ body: () async -> Bool) async -> Bool {
        let end = ContinuousClock.now + time
        while ContinuousClock.now < end {
            if await body() { return true }
            try? await Task.sleep(for: .milliseconds(2))
        }
        return await body()
    }

    /// Until the first hints of the start are over.
    private func calm(_ count: Count) async -> Int {
        var before = -1
        while case let now = await count.hints, now != before {
            before = now
            try? await Task.sleep(for: .milliseconds(150))
        }
        return before
    }

    @Test("a rename into it, a file that is closed after writing and a hard link each give a hint at once", .enabled(if: hasLibrary))
    func events() async throws {
        try await watching { watch, count in
            #expect(await until { watch.mode == .events })
            let manager = FileManager.default
            try Data("x".utf8).write(to: URL(fileURLWithPath: folder.path + "/outside"))
            var before = await calm(count)
            #expect(before >= 1)
            // Before the half minute's look: only an event can be the reason.
            try manager.moveItem(atPath: folder.path + "/outside", toPath: drop + "/renamed")
            #expect(await until(.milliseconds(900)) { await count.hints > before }, "rename")
            before = await calm(count)
            let file = try #require(FileHandle(forUpdatingAtPath: drop + "/renamed"))
            try file.write(contentsOf: Data("yy".utf8))
            try file.close()
            #expect(await until(.milliseconds(900)) { await count.hints > before }, "CLOSE_WRITE")
            before = await calm(count)
            try manager.linkItem(atPath: drop + "/renamed", toPath: drop + "/linked")
            #expect(await until(.milliseconds(900)) { await count.hints > before }, "hard link")
            #expect(watch.mode == .events)
        }
    }

    @Test("a folder that is removed and made again, or renamed away, is watched anew", .enabled(if: hasLibrary))
    func again() async throws {
        try await watching { watch, count in
            #expect(await until { watch.mode == .events })
            let manager = FileManager.default
            var before = await calm(count)
            try manager.removeItem(atPath: drop)
            #expect(await until { watch.mode == .polling })
            #expect(await until { await count.hints > before })
            try manager.createDirectory(atPath: drop, withIntermediateDirectories: true)
            #expect(await until { watch.mode == .events })
            before = await calm(count)
            try Data("x".utf8).write(to: URL(fileURLWithPath: drop + "/new"))
            #expect(await until(.milliseconds(900)) { await count.hints > before }, "in the folder that was made again")
            try manager.moveItem(atPath: drop, toPath: folder.path + "/other")
            try manager.createDirectory(atPath: drop, withIntermediateDirectories: true)
            try await Task.sleep(for: .milliseconds(2200))
            #expect(watch.mode == .events)
            before = await calm(count)
            try Data("x".utf8).write(to: URL(fileURLWithPath: drop + "/newer"))
            #expect(await until(.milliseconds(900)) { await count.hints > before }, "in the folder that took its place")
        }
    }

    @Test("a folder that is not there yet is polled, and watched once it comes", .enabled(if: hasLibrary))
    func notYet() async throws {
        try FileManager.default.removeItem(atPath: drop)
        try await watching { watch, count in
            #expect(await until(.seconds(4)) { await count.hints >= 2 })
            #expect(watch.mode == .polling)
            try FileManager.default.createDirectory(atPath: drop, withIntermediateDirectories: true)
            #expect(await until { watch.mode == .events })
        }
    }

    @Test("polling needs no events: a look every two seconds")
    func polling() async throws {
        try await watching(true) { watch, count in
            #expect(await until { await count.hints >= 1 })
            let before = await count.hints, start = ContinuousClock.now
            #expect(await until { await count.hints > before })
            #expect(.now - start > .milliseconds(900))
            #expect(watch.mode == .polling)
        }
    }

    @Test("a hint may be given by hand; after the stop none comes any more and the reader's loop ends")
    func stop() async throws {
        try await watching(true) { watch, count in
            let before = await calm(count)
            watch.hint()
            #expect(await until(.milliseconds(900)) { await count.hints > before })
            watch.stop()
            #expect(await until { await count.isOver })
            let after = await count.hints
            watch.hint()
            try await Task.sleep(for: .milliseconds(50))
            #expect(await count.hints == after)
            watch.stop()
        }
    }

    @Test("many changes before a reader comes are one hint")
    func merged() async throws {
        let watch = FolderWatch([drop], alwaysPolling: true)
        for _ in 0..<100 { watch.hint() }
        try await Task.sleep(for: .milliseconds(100))
        watch.stop()
        var count = 0
        for await _ in watch.hints { count += 1 }
        #expect(count == 1)
    }
}

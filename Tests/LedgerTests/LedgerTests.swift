import CSQLite
import Disk
import Foundation
import Ledger
import StrictJSON
import TestSupport
import Testing

@Suite("the ledger")
struct LedgerTests {
    private let folder: TemporaryFolder
    private var file: String { folder.path + "/ledger.sqlite" }

    init() throws { folder = try TemporaryFolder() }

    /// As somebody with an SQLite of his own would change the file.
    private func tamper(_ sql: String) throws {
        var connection: OpaquePointer?
        #expect(sqlite3_open(file, &connection) == SQLITE_OK)
        defer { sqlite3_close_v2(connection) }
        let code = sqlite3_exec(connection, sql, nil, nil, nil)
        #expect(code == SQLITE_OK, "\(sql): \(String(cString: sqlite3_errmsg(connection)))")
    }

    private func fill(_ count: Int = 5) throws {
        let ledger = try Ledger(file)
        for number in 1...count {
            try ledger.append("committed", ["n": .integer(Int64(number)), "text": "春风"], at: "2026-11-25T00:00:0\(number % 10)Z")
        }
    }

    private func isBroken(at line: Int, _ note: Comment? = nil) {
        #expect(note) { try Ledger(file).verify() } throws: { error in
            guard case LedgerError.broken(file, line, _, _) = error else { return false }
            return true
        }
    }

    @Test("a new history is empty, and its chain holds")
    func empty() throws {
        let ledger = try Ledger(file)
        let (lines, head) = try ledger.verify()
        #expect(lines == 0 && head == HistoryChain.start)
        #expect(try ledger.newest() == nil && ledger.lines().isEmpty)
    }

    @Test("what is appended comes back in order, chained, also after the file is opened again")
    func chain() throws {
        try fill(5)
        do {
            let ledger = try Ledger(file)
            #expect(try ledger.lines().map(\.number) == [1, 2, 3, 4, 5])
            #expect(try ledger.lines(after: 3).map(\.number) == [4, 5])
            #expect(try ledger.lines(after: 1, limit: 2).map(\.number) == [2, 3])
            #expect(try ledger.lines()[2].body == #"{"n":3,"text":"春风"}"#)
            let hash = try ledger.append("refused", [:], at: "2026-11-25T00:01:00Z")
            let newest = try #require(try ledger.newest())
            #expect(newest.number == 6 && newest.kind == "refused" && newest.hash == hash)
            let (lines, head) = try ledger.verify()
            #expect(lines == 6 && head == hash)
        }
        #expect(try Ledger(reading: file).verify().lines == 6)
    }

    @Test("more lines than one look takes are verified all")
    func many() throws {
        try fill(3)
        let ledger = try Ledger(file)
        for _ in 0..<1100 { try ledger.append("x", [:], at: "t") }
        #expect(try ledger.verify().lines == 1103)
        try tamper("UPDATE history SET kind = 'y' WHERE number = 1090")
        isBroken(at: 1090)
    }

    @Test("any changed field is found, with its line's number", arguments: [
        "at = '2026-11-25T00:00:04Z'", "kind = 'refused'", "body = replace(body, '春', '秋')", "body = body || ' '", "body = ''",
        "hash = replace(hash, substr(hash, 1, 1), 'g')", "hash = upper(hash)", "hash = ''", "at = at || char(10)", "kind = 'Committed'",
        "body = x'7b7d'", "at = 5",
    ])
    func changed(field: String) throws {
        try fill()
        try tamper("UPDATE history SET \(field) WHERE number = 3")
        isBroken(at: 3)
    }

    @Test("a line that was removed, from the beginning or the middle, is found")
    func removed() throws {
        try fill()
        try tamper("DELETE FROM history WHERE number = 3")
        isBroken(at: 3)
        try tamper("DELETE FROM history WHERE number = 1")
        isBroken(at: 1)
    }

    @Test("a removed line is found when the others are counted anew")
    func renumbered() throws {
        try fill()
        try tamper("DELETE FROM history WHERE number = 3; UPDATE history SET number = 3 WHERE number = 4; UPDATE history SET number = 4 WHERE number = 5")
        isBroken(at: 3)
    }

    @Test("two lines that changed places are found, with their hashes and without")
    func order() throws {
        try fill()
        try tamper(
            "UPDATE history SET number = 99 WHERE number = 3; UPDATE history SET number = 3 WHERE number = 4; UPDATE history SET number = 4 WHERE number = 99")
        isBroken(at: 3)
    }

    @Test("a line put between, or twice, is found")
    func inserted() throws {
        try fill()
        try tamper("INSERT INTO history SELECT 6, at, kind, body, hash FROM history WHERE number = 5")
        isBroken(at: 6)
    }

    @Test("the removed end of a history is found by who kept its head")
    func cut() throws {
        try fill()
        let head = try Ledger(file).verify().head
        try tamper("DELETE FROM history WHERE number = 5")
        let (lines, now) = try Ledger(file).verify()
        #expect(lines == 4 && now != head)
    }

    @Test("a chain is broken by any changed byte of any field of any line, and by any line missing")
    func everyByte() throws {
        try fill(3)
        let lines = try Ledger(file).lines()
        func follow(_ lines: [Ledger.Line]) -> Int? {
            var chain = HistoryChain(file: "x")
            for line in lines {
                do throws(LedgerError) { try chain.follow(line) } catch {
                    guard case .broken(_, let number, _, _) = error else { return -1 }
                    return number
                }
            }
            return nil
        }
        #expect(follow(lines) == nil)
        var wrong: [String] = []
        for (index, line) in lines.enumerated() {
            for field in 0..<4 {
                let text = [line.at, line.kind, line.body, line.hash][field]
                for place in 0...text.utf8.count {
                    var bytes = Array(text.utf8)
                    if place < bytes.count { bytes[place] ^= 1 } else { bytes.append(0x20) }
                    let new = String(decoding: bytes, as: UTF8.self)
                    func pick(_ number: Int, _ old: String) -> String { field == number ? new : old }
                    var spoiled = lines
                    spoiled[index] = .init(
                        number: line.number, at: pick(0, line.at), kind: pick(1, line.kind), body: pick(2, line.body), hash: pick(3, line.hash))
                    if follow(spoiled) != index + 1 { wrong.append("line \(index + 1), field \(field), byte \(place)") }
                }
            }
            var missing = lines
            missing.remove(at: index)
            if index < 2, follow(missing) != index + 1 { wrong.append("line \(index + 1) missing") }
        }
        #expect(wrong == [])
    }

    // MARK: - Patches

    @Test("attempts are counted for each identity, forgotten when asked, and kept over a restart")
    func attempts() throws {
        do {
            let ledger = try Ledger(file)
            #expect(try ledger.record(of: "a").attempts == 0)
            for _ in 0..<3 { try ledger.countAttempt(of: "a") }
            try ledger.countAttempt(of: "b")
        }
        let ledger = try Ledger(file)
        #expect(try ledger.record(of: "a").attempts == 3 && ledger.record(of: "b").attempts == 1)
        try ledger.forgetAttempts(of: "a")
        try ledger.forgetAttempts(of: "nobody")
        #expect(try ledger.record(of: "a").attempts == 0 && ledger.record(of: "b").attempts == 1)
        #expect(try ledger.record(of: "nobody").attempts == 0 && ledger.record(of: "nobody").ending == nil)
    }

    @Test("how a patch ended is kept beside its attempts; what ended once stays so, but for going back", arguments: [
        Ledger.Ending.committed, .rolledBack, .refused, .superseded,
    ])
    func endings(ending: Ledger.Ending) throws {
        do {
            let ledger = try Ledger(file)
            #expect(try ledger.record(of: "a").ending == nil)
            try ledger.countAttempt(of: "a")
            #expect(try ledger.record(of: "a").ending == nil)
            try ledger.append("x", [:], at: "t", ends: ("a", .committed))
            try ledger.append("x", [:], at: "t", ends: ("a", ending))
            try ledger.append("x", [:], at: "t", ends: ("b", ending))
        }
        let ledger = try Ledger(reading: file)
        let last: Ledger.Ending = ending == .rolledBack ? .rolledBack : .committed
        #expect(try ledger.record(of: "a").ending == last && ledger.record(of: "a").attempts == 1)
        #expect(try ledger.record(of: "b").ending == ending && ledger.record(of: "b").attempts == 0)
    }

    // MARK: - The file

    @Test("a newer layout is refused, by who writes and by who reads")
    func newer() throws {
        try fill(1)
        try tamper("PRAGMA user_version = 3")
        #expect(throws: LedgerError.layout(file: file, expected: 2, found: 3)) { try Ledger(file) }
        #expect(throws: LedgerError.layout(file: file, expected: 2, found: 3)) { try Ledger(reading: file) }
    }

    @Test("reading where there is none is refused and makes none; a folder and a text are refused", arguments: ["none", "folder", "text"])
    func noLedger(kind: String) throws {
        if kind == "folder" { try Disk().makeFolder(file) }
        if kind == "text" { try Disk().writeNew(String(repeating: "no database\n", count: 200), to: file) }
        #expect { try Ledger(reading: file).lines() } throws: { error in
            guard case LedgerError.sqlite = error else { return false }
            return true
        }
        if kind == "none" { #expect(!Disk().exists(file)) } else { #expect(throws: LedgerError.self) { try Ledger(file) } }
    }

    @Test("a write that fails at any step leaves a chain that verifies, with the line or without it")
    func faults() throws {
        for fault in [FaultPlan.Fault.lasting(28), .once(5)] {
            let counting = FaultPlan(failingAt: nil)
            func life(_ file: String, _ plan: FaultPlan) throws -> (failed: Int, kept: Int) {
                let ledger = try Ledger(file, disk: Disk(faults: plan))
                var failed = 0
                for number in 0..<3 { do { try ledger.append("x", ["n": .integer(Int64(number))], at: "t") } catch LedgerError.disk { failed += 1 } }
                do { try ledger.countAttempt(of: "a") } catch LedgerError.disk { failed += 1 }
                do { try ledger.append("x", [:], at: "t", ends: ("a", .committed)) } catch LedgerError.disk { failed += 1 }
                return (failed, try ledger.lines().count)
            }
            #expect(try life(file + ".counting", counting).failed == 0)
            #expect(counting.steps == 10)
            for step in 0..<counting.steps {
                let path = "\(file).\(fault).\(step)"
                let (failed, kept) = try life(path, FaultPlan(failingAt: step, fault))
                #expect(failed >= 1, "step \(step)")
                #expect(try Ledger(path).verify().lines == kept, "step \(step)")
                // Killed between the two, a patch was committed and no line said so.
                let isTold = try Ledger(path).has("x", [:])
                #expect(try (Ledger(path).record(of: "a").ending == .committed) == isTold, "step \(step)")
                try Ledger(path).append("after", [:], at: "t")
                #expect(try Ledger(path).verify().lines == kept + 1, "step \(step)")
            }
        }
    }

    // MARK: - Two processes

    /// Not a test of its own: what the other process of `twoProcesses` does.
    @Test("the writing process", .enabled(if: ProcessInfo.processInfo.environment["TIANKONG_TEST_WRITES"] != nil, "only as another test's second process"))
    func writes() throws {
        let ledger = try Ledger(try #require(ProcessInfo.processInfo.environment["TIANKONG_TEST_WRITES"]))
        for number in 0..<200 {
            try ledger.append("other", ["n": .integer(Int64(number))], at: "t")
            // So that it is still writing while the other process reads.
            Thread.sleep(forTimeInterval: 0.001)
        }
    }

    @Test("two processes: one reads while the other writes, both may write, and the chain holds throughout",
        .enabled(if: ProcessInfo.processInfo.environment["TIANKONG_TEST_WRITES"] == nil))
    func twoProcesses() async throws {
        try fill(1)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        process.arguments = ["--testing-library", "swift-testing", "--filter", "LedgerTests.LedgerTests/writes"]
        process.environment = ProcessInfo.processInfo.environment.merging(["TIANKONG_TEST_WRITES": file]) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer { if process.isRunning { process.terminate() } }
        let reader = try Ledger(reading: file), writer = try Ledger(file)
        var seen: [Int] = [], own = 0
        while process.isRunning || seen.isEmpty {
            let (lines, _) = try reader.verify()
            if let last = seen.last { #expect(lines >= last) }
            seen.append(lines)
            if own < 50 {
                try writer.append("own", [:], at: "t")
                own += 1
            }
            try await Task.sleep(for: .milliseconds(1))
            if seen.count > 20_000 { break }
        }
        #expect(process.terminationStatus == 0)
        #expect(try reader.verify().lines == 1 + 200 + own)
        #expect(Set(seen).count > 3)
        #expect(try reader.lines().filter { $0.kind == "other" }.count == 200)
    }
}

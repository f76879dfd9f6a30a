import CSQLite
import Disk
import Ledger
import StrictJSON
import TestSupport
import Testing

@Suite("dossiers in the ledger")
struct DossierTests {
    private let folder: TemporaryFolder
    private var file: String { folder.path + "/ledger.sqlite" }

    init() throws { folder = try TemporaryFolder() }

    private func sqlite(_ sql: String, on path: String? = nil) throws {
        var connection: OpaquePointer?
        #expect(sqlite3_open(path ?? file, &connection) == SQLITE_OK)
        defer { sqlite3_close_v2(connection) }
        let code = sqlite3_exec(connection, sql, nil, nil, nil)
        #expect(code == SQLITE_OK, "\(sql): \(String(cString: sqlite3_errmsg(connection)))")
    }

    /// As the release before wrote it: history and patches, no dossiers.
    private func makeLayoutOne(_ path: String? = nil) throws {
        let path = path ?? file
        do {
            let ledger = try Ledger(path)
            for number in 1...3 {
                try ledger.append(
                    "committed", ["n": .integer(Int64(number))], at: "2026-11-25T00:00:0\(number)Z", ends: ("\(number)", .committed))
            }
            try ledger.countAttempt(of: "a")
        }
        try sqlite("DROP TABLE dossiers; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE)", on: path)
    }

    @Test("a version of which nothing was found out has none")
    func none() throws {
        #expect(try Ledger(file).dossier(of: "9f3c") == nil)
        #expect(try Ledger(reading: file).dossier(of: "9f3c") == nil)
    }

    @Test("what is kept comes back, each version's own; the last one stands, over a restart")
    func kept() throws {
        do {
            let ledger = try Ledger(file)
            try ledger.keepDossier(of: "a", ["figures": ["idiom": ["top1": .real(0.5)]]])
            try ledger.keepDossier(of: "b", ["note": "春风 '\" \n"])
            try ledger.keepDossier(of: "a", ["figures": ["idiom": ["top1": .real(0.75)]]])
        }
        for ledger in [try Ledger(file), try Ledger(reading: file)] {
            #expect(try ledger.dossier(of: "a")?["figures"]?["idiom"]?["top1"]?.real == 0.75)
            #expect(try ledger.dossier(of: "b")?["note"]?.string == "春风 '\" \n")
            #expect(try ledger.dossier(of: "A") == nil)
        }
    }

    @Test("a dossier is no line of the history, and its chain holds")
    func noLine() throws {
        let ledger = try Ledger(file)
        try ledger.append("started", [:], at: "t")
        let head = try ledger.verify().head
        try ledger.keepDossier(of: "a", [:])
        #expect(try ledger.verify() == (1, head))
    }

    @Test("bytes that are no JSON are no dossier, and may be written over")
    func spoiled() throws {
        let ledger = try Ledger(file)
        try ledger.keepDossier(of: "a", [:])
        try sqlite("UPDATE dossiers SET body = '{' WHERE version = 'a'")
        #expect(try ledger.dossier(of: "a") == nil)
        try ledger.keepDossier(of: "a", ["x": 1])
        #expect(try ledger.dossier(of: "a")?["x"]?.integer == 1)
    }

    @Test("a disk that refuses is told, and what was there before stays")
    func faults() throws {
        for step in 0..<2 {
            let path = "\(file).\(step)"
            try Ledger(path).keepDossier(of: "a", ["x": 1])
            let ledger = try Ledger(path, disk: Disk(faults: FaultPlan(failingAt: step, .once(28))))
            #expect(throws: LedgerError.self) { try ledger.keepDossier(of: "a", ["x": 2]) }
            // What failed while it was made durable is there, or is not: the one or the other whole.
            let found = try Ledger(path).dossier(of: "a")?["x"]?.integer
            #expect(found == 1 || step == 1 && found == 2)
        }
    }

    // MARK: - Layouts

    @Test("a ledger of the release before is taken over whole, and can hold dossiers from then on")
    func migrates() throws {
        try makeLayoutOne()
        do {
            let ledger = try Ledger(file)
            #expect(try ledger.verify().lines == 3)
            #expect(try ledger.record(of: "1").ending == .committed && ledger.record(of: "a").attempts == 1)
            #expect(try ledger.dossier(of: "a") == nil)
            try ledger.keepDossier(of: "a", ["x": 1])
            try ledger.append("started", [:], at: "t")
        }
        let again = try Ledger(file)
        #expect(try again.verify().lines == 4 && again.dossier(of: "a")?["x"]?.integer == 1)
    }

    @Test("who only reads a ledger of the release before finds no dossiers, and changes nothing")
    func readsOld() throws {
        try makeLayoutOne()
        let ledger = try Ledger(reading: file)
        #expect(try ledger.dossier(of: "a") == nil && ledger.verify().lines == 3)
        // The service takes it over meanwhile.
        try Ledger(file).keepDossier(of: "a", ["x": 1])
        #expect(try ledger.dossier(of: "a")?["x"]?.integer == 1)
    }

    @Test("a later release's layout is refused, by who writes and by who reads")
    func newer() throws {
        try Ledger(file).append("started", [:], at: "t")
        try sqlite("PRAGMA user_version = 3")
        #expect(throws: LedgerError.layout(file: file, expected: 2, found: 3)) { try Ledger(file) }
        #expect(throws: LedgerError.layout(file: file, expected: 2, found: 3)) { try Ledger(reading: file) }
    }
}

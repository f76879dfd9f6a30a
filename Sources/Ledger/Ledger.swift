public import Disk
import ModelFormat
public import StrictJSON
import Synchronization

/// What happened, in `ledger.sqlite`: a history whose lines are chained by hashes, and how each patch ended.
///
/// A line's hash is SHA-256 of `PREVIOUS LF NUMBER LF AT LF KIND LF BODY LF`, PREVIOUS being the hash of the line before
/// it (64 zeros for the first). Who keeps one hash elsewhere can tell whether anything before it was changed.
public final class Ledger: Sendable {
    public struct Line: Sendable {
        public let number: Int
        /// RFC 3339, UTC.
        public let at: String
        public let kind: String
        /// A JSON object on one line.
        public let body: String
        public let hash: String

        public init(number: Int, at: String, kind: String, body: String, hash: String) {
            (self.number, self.at, self.kind, self.body, self.hash) = (number, at, kind, body, hash)
        }
    }

    /// How a patch ended, by its identity. One that ended is never taken again.
    public enum Ending: String, Sendable {
        case committed, rolledBack = "rolled-back", refused, superseded
    }

    public struct Record: Sendable, Equatable {
        public let ending: Ending?
        /// Times it was begun.
        public let attempts: Int

        public init(ending: Ending?, attempts: Int) { (self.ending, self.attempts) = (ending, attempts) }
    }

    private static let layout = 2

    private let file: String
    private let disk: Disk
    private let database: Mutex<Database>

    /// What is there, for looking alone.
    ///
    /// - Throws: `.sqlite` where there is none.
    public init(reading file: String) throws(LedgerError) {
        self.file = file
        disk = Disk()
        let database = try Database.open(file, forReading: true)
        let found = try database.run("PRAGMA user_version").first?.first?.integer ?? 0
        guard found <= Self.layout else { throw .layout(file: file, expected: Self.layout, found: found) }
        self.database = Mutex(database)
    }

    /// Opens the file, or makes it.
    ///
    /// - Parameter disk: each write is one of its steps, so that a fault plan can make it fail; what is within a write
    ///   is SQLite's own business.
    public init(_ file: String, disk: Disk = Disk()) throws(LedgerError) {
        self.file = file
        self.disk = disk
        let database = try Database.open(file)
        let found = try database.run("PRAGMA user_version").first?.first?.integer ?? 0
        guard found <= Self.layout else { throw .layout(file: file, expected: Self.layout, found: found) }
        // In one step: one that broke off between two would leave tables that no version of ours has.
        if found < Self.layout {
            try database.transaction { () throws(LedgerError) in
                if found == 0 {
                    try database.run(
                        """
                        CREATE TABLE history (
                            number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL)
                        """)
                    try database.run(
                        "CREATE TABLE patches (identity TEXT PRIMARY KEY, ending TEXT, attempts INTEGER NOT NULL DEFAULT 0)")
                }
                try database.run("CREATE TABLE dossiers (version TEXT PRIMARY KEY, body TEXT NOT NULL)")
                try database.run("PRAGMA user_version = \(Self.layout)")
            }
        }
        self.database = Mutex(database)
    }

    /// - Parameter ends: the patch that this line says the end of, and how it ended: both are written or neither.
    /// - Returns: the new line's hash.
    @discardableResult
    public func append(
        _ kind: String, _ body: JSON, at: String, ends: (identity: String, ending: Ending)? = nil
    ) throws(LedgerError) -> String {
        try changing { database throws(LedgerError) in
            try database.transaction { () throws(LedgerError) in
                let last = try database.run("SELECT number, hash FROM history ORDER BY number DESC LIMIT 1").first
                let number = (last?[0].integer ?? 0) + 1
                let text = body.serialized
                let hash = HistoryChain.hash(after: last?[1].text ?? HistoryChain.start, number, at, kind, text)
                try database.run(
                    "INSERT INTO history VALUES (?, ?, ?, ?, ?)",
                    [.integer(number), .text(at), .text(kind), .text(text), .text(hash)])
                if let ends { try Self.end(ends.identity, as: ends.ending, in: database) }
                return hash
            }
        }
    }

    /// Lines after a number, oldest first.
    public func lines(after number: Int = 0, limit: Int = 1000) throws(LedgerError) -> [Line] {
        try locked { database throws(LedgerError) in
            try database.run(
                "SELECT number, at, kind, body, hash FROM history WHERE number > ? ORDER BY number LIMIT ?",
                [.integer(number), .integer(limit)]
            ).map(Line.init)
        }
    }

    /// The newest lines of these kinds, oldest first.
    public func lines(ofKinds kinds: [String], newest limit: Int) throws(LedgerError) -> [Line] {
        try locked { database throws(LedgerError) in
            try database.run(
                "SELECT number, at, kind, body, hash FROM history WHERE kind IN (\(kinds.map { _ in "?" }.joined(separator: ", "))) "
                    + "ORDER BY number DESC LIMIT ?",
                kinds.map { .text($0) } + [.integer(limit)]
            ).map(Line.init)
        }.reversed()
    }

    /// Whether the history has such a line already.
    public func has(_ kind: String, _ body: JSON) throws(LedgerError) -> Bool {
        try locked { database throws(LedgerError) in
            try !database.run(
                "SELECT 1 FROM history WHERE kind = ? AND body = ? LIMIT 1", [.text(kind), .text(body.serialized)]
            ).isEmpty
        }
    }

    /// The newest line; nil where there is none yet.
    public func newest() throws(LedgerError) -> Line? {
        try locked { database throws(LedgerError) in
            try database.run("SELECT number, at, kind, body, hash FROM history ORDER BY number DESC LIMIT 1").first.map(Line.init)
        }
    }

    /// Recomputes every hash.
    ///
    /// - Returns: how many lines there are, and the last one's hash.
    /// - Throws: `.broken` with the first line that does not fit.
    public func verify() throws(LedgerError) -> (lines: Int, head: String) {
        var chain = HistoryChain(file: file)
        while true {
            let lines = try lines(after: chain.lines)
            if lines.isEmpty { return (chain.lines, chain.head) }
            for line in lines { try chain.follow(line) }
        }
    }

    // MARK: - Patches

    public func record(of identity: String) throws(LedgerError) -> Record {
        try locked { database throws(LedgerError) in
            let row = try database.run("SELECT ending, attempts FROM patches WHERE identity = ?", [.text(identity)]).first
            return Record(ending: row.flatMap { Ending(rawValue: $0[0].text) }, attempts: row?[1].integer ?? 0)
        }
    }

    public func countAttempt(of identity: String) throws(LedgerError) {
        try changing { database throws(LedgerError) in
            try database.run(
                "INSERT INTO patches (identity, attempts) VALUES (?, 1) ON CONFLICT (identity) DO UPDATE SET attempts = attempts + 1",
                [.text(identity)])
        }
    }

    /// The times it was begun are not held against it: the fault was not its own.
    public func forgetAttempts(of identity: String) throws(LedgerError) {
        try changing { database throws(LedgerError) in
            try database.run("UPDATE patches SET attempts = 0 WHERE identity = ?", [.text(identity)])
        }
    }

    /// What ended once stays so; but what was committed may be gone back from.
    private static func end(_ identity: String, as ending: Ending, in database: borrowing Database) throws(LedgerError) {
        try database.run(
            """
            INSERT INTO patches (identity, ending) VALUES (?, ?) ON CONFLICT (identity) DO UPDATE
            SET ending = excluded.ending WHERE ending IS NULL OR excluded.ending = ?
            """,
            [.text(identity), .text(ending.rawValue), .text(Ending.rolledBack.rawValue)])
    }

    // MARK: - Dossiers

    /// What this appliance found out about a version, by its fingerprint; nil where that is nothing yet.
    public func dossier(of version: String) throws(LedgerError) -> JSON? {
        guard try hasDossiers() else { return nil }
        let row = try locked { database throws(LedgerError) in
            try database.run("SELECT body FROM dossiers WHERE version = ?", [.text(version)]).first
        }
        return row.flatMap { try? JSON(parsing: Array($0[0].text.utf8)) }
    }

    public func keepDossier(of version: String, _ body: JSON) throws(LedgerError) {
        try changing { database throws(LedgerError) in
            try database.run(
                "INSERT INTO dossiers VALUES (?, ?) ON CONFLICT (version) DO UPDATE SET body = excluded.body",
                [.text(version), .text(body.serialized)])
        }
    }

    /// A ledger of an earlier release that is only read has none.
    private func hasDossiers() throws(LedgerError) -> Bool {
        try locked { database throws(LedgerError) in
            (try database.run("PRAGMA user_version").first?.first?.integer ?? 0) >= 2
        }
    }

    private func locked<Value: Sendable>(
        _ body: (borrowing Database) throws(LedgerError) -> Value
    ) throws(LedgerError) -> Value {
        try database.withLock { database throws(LedgerError) in try body(database) }
    }

    /// One write is one step of the disk.
    private func changing<Value: Sendable>(
        _ body: (borrowing Database) throws(LedgerError) -> Value
    ) throws(LedgerError) -> Value {
        do { try disk.step("write", file) } catch { throw .disk(error) }
        let value = try locked(body)
        do { try disk.step("fsync", file) } catch { throw .disk(error) }
        return value
    }
}

extension Ledger.Line {
    fileprivate init(_ row: [Database.Value]) {
        self.init(number: row[0].integer, at: row[1].text, kind: row[2].text, body: row[3].text, hash: row[4].text)
    }
}

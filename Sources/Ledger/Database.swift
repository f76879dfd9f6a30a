import CSQLite

/// One SQLite connection (sqlite.org/c3ref), used by one thread at a time: `Ledger` holds it under a mutex.
///
/// By hand and thin: the Swift packages for SQLite bring 45 MB of full Foundation, and five statements need no more.
struct Database: ~Copyable {
    enum Value: Equatable {
        case integer(Int)
        case text(String)
        case null
    }

    private let connection: OpaquePointer
    private let file: String

    private init(_ connection: OpaquePointer, _ file: String) {
        self.connection = connection
        self.file = file
    }

    /// Opens or makes the file; write-ahead log, every commit on the disk before it returns.
    static func open(_ file: String, forReading: Bool = false) throws(LedgerError) -> Database {
        var connection: OpaquePointer?
        let access = forReading ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        let flags = access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(file, &connection, flags, nil)
        guard code == SQLITE_OK, let connection else {
            sqlite3_close_v2(connection)
            throw .sqlite(file: file, step: "open", code: code & 0xFF, text: String(cString: sqlite3_errstr(code)))
        }
        let database = Database(connection, file)
        sqlite3_busy_timeout(connection, 5000)
        if forReading { return database }
        try database.run("PRAGMA journal_mode = WAL")
        try database.run("PRAGMA synchronous = FULL")
        return database
    }

    deinit { sqlite3_close_v2(connection) }

    /// - Returns: all rows.
    @discardableResult
    func run(_ sql: String, _ values: [Value] = []) throws(LedgerError) -> [[Value]] {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(connection, sql, -1, &statement, nil) == SQLITE_OK else { throw failure(sql) }
        defer { sqlite3_finalize(statement) }
        for (index, value) in values.enumerated() {
            let place = Int32(index + 1)
            let code =
                switch value {
                case .integer(let integer): sqlite3_bind_int64(statement, place, Int64(integer))
                // SQLITE_TRANSIENT: SQLite takes a copy.
                case .text(let text): sqlite3_bind_text(statement, place, text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
                case .null: sqlite3_bind_null(statement, place)
                }
            guard code == SQLITE_OK else { throw failure(sql) }
        }
        var rows: [[Value]] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: rows.append((0..<sqlite3_column_count(statement)).map { Self.column(statement, $0) })
            case SQLITE_DONE: return rows
            default: throw failure(sql)
            }
        }
    }

    private static func column(_ statement: OpaquePointer?, _ index: Int32) -> Value {
        switch sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: .integer(Int(sqlite3_column_int64(statement, index)))
        case SQLITE_TEXT: .text(text(statement, index))
        default: .null
        }
    }

    /// All of it: what stands after a NUL too, and bytes that are no UTF-8 as what no text of ours can be, for who
    /// verifies a chain must see what was changed.
    private static func text(_ statement: OpaquePointer?, _ index: Int32) -> String {
        guard let start = sqlite3_column_text(statement, index) else { return "" }
        let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, index)))
        return String(validating: bytes, as: UTF8.self) ?? "\u{0}not UTF-8"
    }

    /// Both or neither.
    func transaction<Result>(_ body: () throws(LedgerError) -> Result) throws(LedgerError) -> Result {
        try run("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try run("COMMIT")
            return result
        } catch {
            _ = try? run("ROLLBACK")
            throw error
        }
    }

    private func failure(_ sql: String) -> LedgerError {
        let step = sql.split(whereSeparator: \.isWhitespace).prefix(3).joined(separator: " ")
        return .sqlite(
            file: file, step: step, code: sqlite3_errcode(connection) & 0xFF,
            text: String(cString: sqlite3_errmsg(connection)))
    }
}

extension Database.Value {
    var text: String { if case .text(let text) = self { text } else { "" } }
    var integer: Int { if case .integer(let integer) = self { integer } else { 0 } }
}

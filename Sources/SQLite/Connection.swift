// One connection to one database file, with a cache of prepared statements and transactions.

internal import CSQLite
package import Values

/// One SQLite connection.
///
/// Not thread-safe: it belongs to one thread at a time. It is opened in `NOMUTEX` mode.
package final class Connection {
    private let handle: OpaquePointer
    private var cache: [String: Statement] = [:]
    package let path: String

    package enum Mode: Sendable {
        case readWrite, readWriteCreate, readOnly
    }

    /// Opens `path` (a file, never a URI; `:memory:` is a private database).
    ///
    /// - Throws: ``SQLiteError`` when the file cannot be opened.
    package init(path: String, mode: Mode = .readWriteCreate, busyTimeoutMilliseconds: Int32 = 5000)
        throws
    {
        var opened: OpaquePointer?
        let access =
            switch mode {
            case .readOnly: SQLITE_OPEN_READONLY
            case .readWrite: SQLITE_OPEN_READWRITE
            case .readWriteCreate: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
            }
        let code = sqlite3_open_v2(path, &opened, access | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let opened else {
            let text = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(opened)
            throw SQLiteError(code: code, message: "cannot open \(path): \(text)")
        }
        handle = opened
        self.path = path
        sqlite3_extended_result_codes(opened, 1)
        starling_busy_timeout(opened, busyTimeoutMilliseconds)
    }

    deinit {
        cache.removeAll()
        sqlite3_close_v2(handle)
    }

    /// The version of the SQLite library in this process, as `3.40.1`.
    package static var libraryVersion: String { String(cString: sqlite3_libversion()) }
    /// The same as a number, as `3040001`.
    package static var libraryVersionNumber: Int { Int(sqlite3_libversion_number()) }

    func error(
        _ code: Int32, sql: String? = nil, file: String = #fileID, line: Int = #line
    ) -> SQLiteError {
        SQLiteError(
            code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql, file: file,
            line: line)
    }

    /// Runs every statement in `sql` and discards rows.
    package func execute(_ sql: String) throws {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error(code, sql: sql) }
    }

    /// A statement that is prepared once and kept for the life of the connection.
    ///
    /// It is returned reset; the caller must not use it while an outer use is still stepping.
    package func cached(_ sql: String) throws -> Statement {
        if let statement = cache[sql] {
            statement.reset()
            return statement
        }
        let statement = try prepare(sql)
        cache[sql] = statement
        return statement
    }

    /// Finalizes all kept statements, as is needed before some schema changes.
    package func dropCachedStatements() { cache.removeAll() }

    package func prepare(_ sql: String) throws -> Statement {
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(
            handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else {
            throw code == SQLITE_OK
                ? SQLiteError(code: SQLITE_MISUSE, message: "no SQL statement given", sql: sql)
                : error(code, sql: sql)
        }
        return Statement(handle: statement, connection: self, sql: sql)
    }

    /// All rows of a query with `values` bound in order.
    package func query(_ sql: String, _ values: [Value] = []) throws -> [[Value]] {
        let statement = try prepare(sql)
        try statement.bind(values)
        var rows: [[Value]] = []
        while try statement.step() { rows.append(statement.values()) }
        return rows
    }

    /// The first column of the first row; nil when there is no row.
    package func first(_ sql: String, _ values: [Value] = []) throws -> Value? {
        try query(sql, values).first?.first
    }

    /// The first column of the first row as an integer; nil when there is no row or it is another
    /// class.
    package func integer(_ sql: String, _ values: [Value] = []) throws -> Int64? {
        guard case .integer(let number)? = try first(sql, values) else { return nil }
        return number
    }

    /// The same from a statement that is kept.
    package func cachedInteger(_ sql: String) throws -> Int64? {
        let statement = try cached(sql)
        defer { statement.reset() }
        return try statement.step() ? statement.int(0) : nil
    }

    /// The first column of the first row as text, invalid UTF-8 repaired.
    package func string(_ sql: String, _ values: [Value] = []) throws -> String? {
        guard case .text(let bytes)? = try first(sql, values) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Runs one statement with `values` bound in order.
    package func run(_ sql: String, _ values: [Value] = []) throws {
        let statement = try cached(sql)
        try statement.bind(values)
        try statement.run()
    }

    /// True while a transaction is open.
    package var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    package enum TransactionKind: String, Sendable {
        case deferred = "BEGIN DEFERRED"
        case immediate = "BEGIN IMMEDIATE"
    }

    /// Runs `body` in a transaction and commits it; any error rolls it back whole.
    package func transaction<Result>(
        _ kind: TransactionKind = .immediate, _ body: () throws -> Result
    ) throws -> Result {
        try execute(kind.rawValue)
        do {
            let result = try body()
            try execute("COMMIT")
            return result
        } catch {
            // A failed COMMIT or a full disk may have rolled back already.
            if isInTransaction { try? execute("ROLLBACK") }
            throw error
        }
    }

    /// Rows changed by the last statement, by triggers not counted.
    package var changes: Int { Int(sqlite3_changes(handle)) }
    /// Rows changed since the connection was opened, by whatever means.
    package var totalChanges: Int64 { starling_total_changes(handle) }
    package var lastInsertRowID: Int64 { sqlite3_last_insert_rowid(handle) }

    /// Turns every trigger of the database on or off for this connection only.
    package func enableTriggers(_ on: Bool) throws {
        let code = starling_enable_triggers(handle, on ? 1 : 0)
        guard code == SQLITE_OK else { throw error(code) }
    }

    /// The time that a locked database is waited for, in milliseconds.
    package func setBusyTimeout(milliseconds: Int32) {
        starling_busy_timeout(handle, milliseconds)
    }

    /// Flushes the WAL and the database file to disk (`fsync`); the durability point of all that
    /// any connection committed before. The database must have been read by this connection.
    ///
    /// - Parameter includesDatabase: false when nothing was moved from the WAL into the database
    ///   since
    ///   the last time.
    package func syncFiles(includesDatabase: Bool = true) throws {
        let code = starling_sync_files(handle, includesDatabase ? 1 : 0)
        guard code == SQLITE_OK else {
            throw SQLiteError(code: code, message: "cannot flush \(path) to disk")
        }
    }

    /// The length of the write-ahead log's file, whatever of it is in use.
    package func logBytes() throws -> Int {
        var bytes: sqlite3_int64 = 0
        let code = starling_log_bytes(handle, &bytes)
        guard code == SQLITE_OK else {
            throw SQLiteError(code: code, message: "cannot tell how long the log of \(path) is")
        }
        return Int(bytes)
    }

    /// What a checkpoint did: pages in the WAL, pages moved to the database, and whether it was
    /// held up.
    package struct Checkpoint: Sendable, Equatable {
        package var logPages: Int
        package var movedPages: Int
        package var isBusy: Bool
    }

    /// A passive checkpoint: moves what it can without waiting for readers or writers.
    package func checkpoint() throws -> Checkpoint {
        var log: Int32 = 0
        var moved: Int32 = 0
        let code = sqlite3_wal_checkpoint_v2(
            handle, "main", SQLITE_CHECKPOINT_PASSIVE, &log, &moved)
        guard code == SQLITE_OK || code == SQLITE_BUSY else { throw error(code) }
        return Checkpoint(
            logPages: Int(log), movedPages: Int(moved), isBusy: code == SQLITE_BUSY)
    }

    /// What `body` makes SQLite do, in hundreds of steps of its machine: a measure that no other load of the
    /// computer changes.
    package func steps(of body: () throws -> Void) rethrows -> Int64 {
        var counter: Int64 = 0
        try withUnsafeMutablePointer(to: &counter) { counter in
            starling_count_steps(handle, counter)
            defer { starling_count_steps(handle, nil) }
            try body()
        }
        return counter
    }

    /// Memory that copies of pages take, in bytes.
    package var cacheBytes: Int {
        var present: Int32 = 0
        var highest: Int32 = 0
        sqlite3_db_status(handle, SQLITE_DBSTATUS_CACHE_USED, &present, &highest, 0)
        return Int(present)
    }

    /// Frees what caches can spare.
    package func shrinkMemory() { sqlite3_db_release_memory(handle) }

    /// Copies the whole database to `target` page by page (SQLite's online backup).
    package func backup(to target: Connection) throws {
        guard let job = sqlite3_backup_init(target.handle, "main", handle, "main") else {
            throw target.error(sqlite3_errcode(target.handle))
        }
        let code = sqlite3_backup_step(job, -1)
        let finish = sqlite3_backup_finish(job)
        guard code == SQLITE_DONE, finish == SQLITE_OK else {
            throw target.error(finish == SQLITE_OK ? code : finish)
        }
    }

    /// Runs `body` with an authorizer: every action that `allows` refuses fails to prepare.
    /// Used while the structure of a peer's table is created, so that nothing else can happen.
    /// Action codes: <https://sqlite.org/c3ref/c_alter_table.html>.
    package func withAuthorizer<Result>(
        _ allows: @escaping (_ action: Int32, _ first: String?, _ second: String?) -> Bool,
        _ body: () throws -> Result
    ) rethrows -> Result {
        let box = AuthorizerBox(allows)
        sqlite3_set_authorizer(
            handle,
            { context, action, first, second, _, _ in
                guard let context else { return SQLITE_DENY }
                let box = Unmanaged<AuthorizerBox>.fromOpaque(context).takeUnretainedValue()
                let one = first.map { String(cString: $0) }
                let two = second.map { String(cString: $0) }
                return box.allows(action, one, two) ? SQLITE_OK : SQLITE_DENY
            }, Unmanaged.passUnretained(box).toOpaque())
        defer {
            sqlite3_set_authorizer(handle, nil, nil)
            withExtendedLifetime(box) {}
        }
        return try body()
    }
}

/// Carries the closure through SQLite's context pointer.
private final class AuthorizerBox {
    let allows: (Int32, String?, String?) -> Bool
    init(_ allows: @escaping (Int32, String?, String?) -> Bool) { self.allows = allows }
}

/// `name` as an SQL identifier, whatever characters it has.
package func quotedIdentifier(_ name: String) -> String {
    var quoted = "\""
    for character in name.unicodeScalars {
        if character == "\"" { quoted.unicodeScalars.append(character) }
        quoted.unicodeScalars.append(character)
    }
    return quoted + "\""
}

/// `text` as an SQL string literal.
package func quotedLiteral(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
}

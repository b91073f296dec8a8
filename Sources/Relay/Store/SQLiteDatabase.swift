// The embedded engine: one SQLite file in WAL mode, each commit flushed. One writer, which commits what
// waits for it together.

internal import RelayProtocol
internal import SQLite
internal import Values

/// The relay's log in a SQLite file.
package struct SQLiteRelayDatabase: RelayDatabase {
    package let path: String
    package let writerCount = 1
    package let readerCount = 2
    package let commitCountMax = RelayLimits.commitCountMax
    /// Other processes on the same file are commands of the operator; none of them appends.
    package let pollMilliseconds = 1000

    package init(path: String) { self.path = path }

    package func connect() throws -> any RelaySession { try SQLiteRelaySession(path: path) }

    package func bell() -> (any RelayBell)? { nil }
}

final class SQLiteRelaySession: RelaySession {
    private let connection: Connection
    private var depth = 0

    let lockingClause = ""
    let isBroken = false

    private static let dialect = SchemaDialect(
        identity: "INTEGER PRIMARY KEY AUTOINCREMENT", bytes: "BLOB", entriesPartition: "",
        entriesFollowUp: [])

    init(path: String) throws {
        do {
            connection = try Connection(path: path)
            try connection.execute("PRAGMA journal_mode = WAL")
            // Every commit is on disk before it is answered.
            try connection.execute("PRAGMA synchronous = FULL")
        } catch { throw Self.translate(error) }
        try transaction { try RelaySchema.migrate(self, Self.dialect) }
    }

    func query(_ sql: String, _ values: [Value]) throws -> [[Value]] {
        try translated {
            let statement = try prepared(sql, values)
            defer { statement.reset() }
            var rows: [[Value]] = []
            while try statement.step() { rows.append(statement.values()) }
            return rows
        }
    }

    @discardableResult func run(_ sql: String, _ values: [Value]) throws -> Int {
        try translated {
            try prepared(sql, values).run()
            return connection.changes
        }
    }

    func runEach(_ sql: String, _ rows: [[Value]]) throws {
        for values in rows { try run(sql, values) }
    }

    func firstOfEach(_ sql: String, _ rows: [[Value]]) throws -> [[Value]?] {
        try rows.map { values in
            try translated {
                let statement = try prepared(sql, values)
                defer { statement.reset() }
                return try statement.step() ? statement.values() : nil
            }
        }
    }

    func transaction<Result>(_ body: () throws -> Result) throws -> Result {
        let (begin, commit, back) =
            depth == 0
            ? ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
            : ("SAVEPOINT inner", "RELEASE inner", "ROLLBACK TO inner; RELEASE inner")
        try translated { try connection.execute(begin) }
        depth += 1
        defer { depth -= 1 }
        do {
            let result = try body()
            try translated { try connection.execute(commit) }
            return result
        } catch {
            // A full disk may have rolled back already.
            if connection.isInTransaction { try? connection.execute(back) }
            throw error
        }
    }

    private func prepared(_ sql: String, _ values: [Value]) throws -> Statement {
        let statement = try connection.cached(sql)
        try statement.bind(values)
        return statement
    }

    private func translated<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch { throw Self.translate(error) }
    }

    private static func translate(_ error: any Error) -> any Error {
        guard let error = error as? SQLiteError else { return error }
        if error.isFull {
            return RelayError(
                .storeFull,
                "the relay's disk is full: its operator has to make room; nothing was kept",
                retrySeconds: 60, cause: error)
        }
        if error.isBusy {
            return RelayError(
                .unavailable, "the relay's store is busy: try again", retrySeconds: 2, cause: error)
        }
        return RelayError(
            .failed, "the relay's store failed; its operator finds the reason in its log",
            cause: error)
    }
}

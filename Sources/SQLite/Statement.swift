// A prepared statement: bind, step, read, reset. Values travel as raw bytes in both directions.

internal import CSQLite
package import Values

/// One prepared statement of one connection.
///
/// Not thread-safe: it belongs to its connection's thread. Columns and parameters follow SQLite:
/// parameters count from 1, columns from 0.
package final class Statement {
    let handle: OpaquePointer
    private unowned let connection: Connection
    package let sql: String

    init(handle: OpaquePointer, connection: Connection, sql: String) {
        self.handle = handle
        self.connection = connection
        self.sql = sql
    }

    deinit { sqlite3_finalize(handle) }

    private func check(_ code: Int32) throws {
        guard code == SQLITE_OK else { throw connection.error(code, sql: sql) }
    }

    /// Binds `value` to parameter `index` (from 1).
    package func bind(_ value: Value, at index: Int32) throws {
        switch value {
        case .null: try check(sqlite3_bind_null(handle, index))
        case .integer(let number): try check(sqlite3_bind_int64(handle, index, number))
        case .real(let number): try check(sqlite3_bind_double(handle, index, number))
        case .text(let bytes): try bindText(bytes, at: index)
        case .blob(let bytes): try bind(blob: bytes, at: index)
        }
    }

    package func bind(_ number: Int64, at index: Int32) throws {
        try check(sqlite3_bind_int64(handle, index, number))
    }

    package func bind(_ text: String, at index: Int32) throws {
        try bindText(Array(text.utf8), at: index)
    }

    package func bindNull(at index: Int32) throws {
        try check(sqlite3_bind_null(handle, index))
    }

    private func bindText(_ bytes: [UInt8], at index: Int32) throws {
        let code = bytes.withUnsafeBytes { buffer in
            // An empty array may have no address, and a null pointer would bind NULL.
            buffer.baseAddress.map {
                starling_bind_text(handle, index, $0, UInt64(buffer.count))
            } ?? starling_bind_text(handle, index, "", 0)
        }
        try check(code)
    }

    package func bind(blob bytes: [UInt8], at index: Int32) throws {
        let code = bytes.withUnsafeBytes { buffer in
            if let base = buffer.baseAddress, buffer.count > 0 {
                return starling_bind_blob(handle, index, base, UInt64(buffer.count))
            }
            return sqlite3_bind_zeroblob(handle, index, 0)
        }
        try check(code)
    }

    /// Binds `values` to the parameters from `first` on.
    package func bind(_ values: [Value], from first: Int32 = 1) throws {
        var index = first
        for value in values {
            try bind(value, at: index)
            index += 1
        }
    }

    /// Advances to the next row; false when there is none. Resets the statement on an error.
    package func step() throws -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE { return false }
        let failure = connection.error(code, sql: sql)
        sqlite3_reset(handle)
        throw failure
    }

    /// Runs a statement that returns no rows, and resets it.
    package func run() throws {
        while try step() {}
        reset()
    }

    /// Ends the run; bindings stay until they are replaced.
    package func reset() { sqlite3_reset(handle) }

    package func clearBindings() { sqlite3_clear_bindings(handle) }

    package var columnCount: Int32 { sqlite3_column_count(handle) }

    package func columnName(_ column: Int32) -> String {
        sqlite3_column_name(handle, column).map { String(cString: $0) } ?? ""
    }

    package func isNull(_ column: Int32) -> Bool {
        sqlite3_column_type(handle, column) == SQLITE_NULL
    }

    package func int(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    package func double(_ column: Int32) -> Double { sqlite3_column_double(handle, column) }

    /// The column as text, invalid UTF-8 repaired: for names and messages only.
    package func string(_ column: Int32) -> String {
        String(decoding: bytes(column), as: UTF8.self)
    }

    /// The column's bytes; text is converted to UTF-8 where the database is UTF-16.
    package func bytes(_ column: Int32) -> [UInt8] {
        withBytes(column) { Array($0) }
    }

    /// The column's bytes without a copy; valid only inside `body`.
    package func withBytes<Result>(
        _ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let start: UnsafeRawPointer?
        if sqlite3_column_type(handle, column) == SQLITE_BLOB {
            start = sqlite3_column_blob(handle, column)
        } else {
            start = UnsafeRawPointer(sqlite3_column_text(handle, column))
        }
        // The length is asked for after the conversion that it measures.
        let count = Int(sqlite3_column_bytes(handle, column))
        return try body(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count))
    }

    package func value(_ column: Int32) -> Value {
        switch sqlite3_column_type(handle, column) {
        case SQLITE_INTEGER: .integer(sqlite3_column_int64(handle, column))
        case SQLITE_FLOAT: .real(sqlite3_column_double(handle, column))
        case SQLITE_TEXT: .text(bytes(column))
        case SQLITE_BLOB: .blob(bytes(column))
        default: .null
        }
    }

    /// All columns of the current row from `first` on.
    package func values(from first: Int32 = 0) -> [Value] {
        var row: [Value] = []
        row.reserveCapacity(Int(columnCount - first))
        for column in first..<max(first, columnCount) { row.append(value(column)) }
        return row
    }
}

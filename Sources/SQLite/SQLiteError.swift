// The one error of the SQLite wrapper.

/// A failed call of SQLite.
///
/// `description` names the operation and the reason and is safe to log or to send to a peer;
/// the statement's text is only in `debugDescription`. Values are in neither.
package struct SQLiteError: Error, Equatable, CustomStringConvertible, CustomDebugStringConvertible
{
    /// An extended result code of SQLite; see <https://sqlite.org/rescode.html>.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: Int32
        package init(rawValue: Int32) { self.rawValue = rawValue }
        /// The low eight bits: the kind of failure.
        package var primary: Int32 { rawValue & 0xff }
    }

    package var code: Code
    package var message: String
    package var sql: String?
    package var file: String
    package var line: Int

    package init(
        code: Int32, message: String, sql: String? = nil, file: String = #fileID, line: Int = #line
    ) {
        self.code = Code(rawValue: code)
        self.message = message
        self.sql = sql
        self.file = file
        self.line = line
    }

    package static func == (left: SQLiteError, right: SQLiteError) -> Bool {
        left.code == right.code
    }

    /// Another connection holds a lock that this call needs: try again.
    package var isBusy: Bool { code.primary == 5 || code.primary == 6 }
    package var isConstraint: Bool { code.primary == 19 }
    package var isUnique: Bool { [2067, 1555, 2579].contains(code.rawValue) }
    package var isPrimaryKey: Bool { [1555, 2579].contains(code.rawValue) }
    package var isCheck: Bool { code.rawValue == 275 }
    package var isNotNull: Bool { code.rawValue == 1299 }
    package var isDataType: Bool { code.rawValue == 3091 }
    package var isFull: Bool { code.primary == 13 }
    package var isReadOnly: Bool { code.primary == 8 }
    package var isCorrupt: Bool { code.primary == 11 || code.primary == 26 }
    package var isInputOutput: Bool { code.primary == 10 }
    /// The value or row exceeds a limit of SQLite.
    package var isTooBig: Bool { code.primary == 18 }

    package var description: String {
        "\(message) (SQLite \(code.rawValue))\(remedy.map { ": \($0)" } ?? "")"
    }

    package var debugDescription: String {
        "\(description) at \(file):\(line)\(sql.map { " in: \($0)" } ?? "")"
    }

    private var remedy: String? {
        if isFull { return "free some space on the disk that holds the database" }
        if isReadOnly { return "make the file and its folder writable for this user" }
        if isCorrupt { return "the file is damaged or not a database; restore a copy" }
        if isInputOutput { return "check the disk that holds the database" }
        return nil
    }
}

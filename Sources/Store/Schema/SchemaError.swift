// The error of the schema part: a table that cannot be read, described, created or captured.

/// Why a table's structure was refused.
///
/// `description` names tables and columns, never row values, and is safe to log or to send to a
/// peer; the SQL at fault is only in `debugDescription`.
package struct SchemaError: Error, Equatable, CustomStringConvertible, CustomDebugStringConvertible
{
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// A name is empty, too long, reserved or has a NUL.
        package static let name = Code(rawValue: "name")
        /// A declared type is more than words and numbers.
        package static let type = Code(rawValue: "type")
        /// An expression has what a table's structure must not have.
        package static let expression = Code(rawValue: "expression")
        /// A collation that SQLite does not have built in.
        package static let collation = Code(rawValue: "collation")
        /// More columns, indexes, keys or bytes than the limits allow.
        package static let limit = Code(rawValue: "limit")
        /// The description contradicts itself.
        package static let structure = Code(rawValue: "structure")
        /// SQLite made of the description something else than it says.
        package static let mismatch = Code(rawValue: "mismatch")
        /// The table cannot be captured.
        package static let capture = Code(rawValue: "capture")
    }

    package var code: Code
    package var message: String
    /// The text at fault.
    package var detail: String?
    package var file: String
    package var line: Int

    package init(
        _ code: Code, _ message: String, detail: String? = nil, file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.detail = detail
        self.file = file
        self.line = line
    }

    package static func == (left: SchemaError, right: SchemaError) -> Bool {
        left.code == right.code
    }

    package var description: String { "\(message) (\(code.rawValue))" }

    package var debugDescription: String {
        "\(description) at \(file):\(line)\(detail.map { " in: \($0)" } ?? "")"
    }
}

/// Limits of a table's structure. Each is far above what people write, and low enough that a
/// hostile description is refused before it costs anything.
package enum SchemaLimits {
    /// SQLite allows 2,000 columns in a table; the journal has four of its own.
    package static let columnsMax = 1990
    package static let indexesMax = 128
    package static let indexColumnsMax = 64
    package static let foreignKeysMax = 128
    package static let checksMax = 512
    package static let nameBytesMax = 255
    package static let typeBytesMax = 255
    package static let expressionBytesMax = 16 * 1024
    package static let expressionDepthMax = 100
    /// Of all statements that create one table together.
    package static let statementBytesMax = 512 * 1024
}

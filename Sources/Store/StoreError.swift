// The one error of the store.

package import SQLite

/// A failure of the store, with what to do about it.
package struct StoreError: Error, Equatable, CustomStringConvertible, CustomDebugStringConvertible {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package var description: String
        /// Another program holds a lock for longer than the store waits.
        package static let busy = Code(description: "busy")
        /// The disk is full, the file is read-only, or the disk fails.
        package static let disk = Code(description: "disk")
        /// The file is not a database, is damaged, or its bookkeeping does not decode.
        package static let damaged = Code(description: "damaged")
        /// The file was made by a newer Starling.
        package static let newerFormat = Code(description: "newer_format")
        /// A table cannot be synced as it is.
        package static let untrackable = Code(description: "untrackable")
        /// A table, row, conflict or peer that does not exist.
        package static let notFound = Code(description: "not_found")
        /// Data from a peer breaks the protocol.
        package static let invalidDelta = Code(description: "invalid_delta")
        /// The file under the node was replaced, or left WAL mode.
        package static let fileChanged = Code(description: "file_changed")
        /// Any other failure of SQLite.
        package static let sqlite = Code(description: "sqlite")
    }

    package var code: Code
    package var message: String
    package var cause: SQLiteError?

    package init(_ code: Code, _ message: String, cause: SQLiteError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package init(_ cause: SQLiteError) {
        let code: Code =
            if cause.isBusy {
                .busy
            } else if cause.isFull || cause.isReadOnly || cause.isInputOutput {
                .disk
            } else if cause.isCorrupt { .damaged } else { .sqlite }
        self.init(code, cause.description, cause: cause)
    }

    package static func == (left: StoreError, right: StoreError) -> Bool { left.code == right.code }

    /// True when the same call can succeed shortly, with nothing done by anyone.
    package var isRetryable: Bool { code == .busy }

    package var description: String { message }

    package var debugDescription: String {
        "[\(code)] \(message)\(cause.map { "; cause: \($0.debugDescription)" } ?? "")"
    }
}

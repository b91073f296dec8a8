// The one error of the Node module: what a person or a script is told when something in the home
// folder, the configuration or the running node is not as it should be.

/// A failure with its remedy.
///
/// `description` is safe to log or to show; details of the cause are only in `debugDescription`.
package struct NodeError: Error, Equatable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The kind of failure; stable names that scripts may rely on.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// The command's words are wrong.
        package static let usage = Code(rawValue: "usage")
        /// No node runs on this home folder.
        package static let notRunning = Code(rawValue: "not_running")
        /// The node did not answer in time.
        package static let timeout = Code(rawValue: "timeout")
        /// `wait` ended before everything was everywhere.
        package static let notSynced = Code(rawValue: "not_synced")
        /// The home folder is missing, incomplete or not accessible.
        package static let badHome = Code(rawValue: "bad_home")
        /// The configuration has a mistake.
        package static let badConfiguration = Code(rawValue: "bad_configuration")
        /// Another node or home stands in the way.
        package static let refused = Code(rawValue: "refused")
        /// There is no such table, peer, conflict.
        package static let notFound = Code(rawValue: "not_found")
        /// The other end of the control socket does not follow the protocol.
        package static let badMessage = Code(rawValue: "bad_message")
        /// The running node does not know the command: it is of another version.
        package static let unknownCommand = Code(rawValue: "unknown_command")
        /// Anything else.
        package static let failed = Code(rawValue: "failed")
    }

    package var code: Code
    package var message: String
    package var cause: (any Error)?
    package var file: String
    package var line: Int

    package init(
        _ code: Code, _ message: String, cause: (any Error)? = nil,
        file: String = #fileID, line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.cause = cause
        self.file = file
        self.line = line
    }

    package static func == (left: NodeError, right: NodeError) -> Bool { left.code == right.code }

    package var description: String { message }

    package var debugDescription: String {
        "\(code.rawValue): \(message) at \(file):\(line)\(cause.map { " because of \($0)" } ?? "")"
    }
}

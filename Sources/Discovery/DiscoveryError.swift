// The one error of discovery. Trouble with the daemon is a state and not an error: the service goes
// on by itself; only what a caller must change is thrown.

/// A failed call of this module.
///
/// `description` says what went wrong and what to do, and is safe to log or to send to a peer.
package struct DiscoveryError: Error, Equatable, CustomStringConvertible,
    CustomDebugStringConvertible
{
    /// The kind of failure; new kinds may be added.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String
        /// An announcement that DNS-SD cannot carry.
        package static let announcement = Code(description: "announcement")
        /// The system refused a thread or a pipe.
        package static let resources = Code(description: "resources")
    }

    package var code: Code
    package var message: String
    package var file: String
    package var line: Int

    package init(code: Code, message: String, file: String = #fileID, line: Int = #line) {
        self.code = code
        self.message = message
        self.file = file
        self.line = line
    }

    package static func == (left: DiscoveryError, right: DiscoveryError) -> Bool {
        left.code == right.code
    }

    package var description: String { "\(message) (discovery, \(code))" }
    package var debugDescription: String { "\(description) at \(file):\(line)" }
}

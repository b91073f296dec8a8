// What goes wrong, as it crosses the control socket: a stable code for scripts, a message for
// people.

/// The error of an answer. The wire's form of `NodeError` and of every other module's error.
package struct ControlError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One of `NodeError.Code`, or a code of a later version.
    package var code: String
    /// What went wrong and what to do, in words.
    package var message: String

    package init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    package init(_ code: NodeError.Code, _ message: String) {
        self.init(code: code.rawValue, message: message)
    }

    /// Any error as an answer; its `description` must be safe to show.
    package init(_ error: any Error) {
        switch error {
        case let error as ControlError: self = error
        case let error as NodeError: self.init(error.code, error.message)
        default: self.init(.failed, String(describing: error))
        }
    }

    package var description: String { message }
}

// The one error of the relay: a reason that a client's program understands, and words for people.

package import RelayProtocol

/// A request that is refused, or a relay that cannot serve.
///
/// `description` is sent to clients and logged: no credential, token, key or content is in it, and nothing
/// of the store's own words, which can hold names of files. Those are in `debugDescription`.
package struct RelayError: Error, Equatable, CustomStringConvertible, CustomDebugStringConvertible {
    package var reason: Reason
    /// What is wrong and what to do.
    package var message: String
    /// When to try again, in seconds; nil when trying again is no use.
    package var retrySeconds: Int?
    /// Which entry of the request it is about, from 0.
    package var index: Int?
    package var cause: (any Error)?
    package var file: String
    package var line: Int

    package init(
        _ reason: Reason, _ message: String, retrySeconds: Int? = nil, index: Int? = nil,
        cause: (any Error)? = nil, file: String = #fileID, line: Int = #line
    ) {
        self.reason = reason
        self.message = message
        self.retrySeconds = retrySeconds
        self.index = index
        self.cause = cause
        self.file = file
        self.line = line
    }

    package static func == (left: RelayError, right: RelayError) -> Bool {
        left.reason == right.reason
    }

    package var description: String { message }

    package var debugDescription: String {
        "\(reason.rawValue): \(message) at \(file):\(line)"
            + (cause.map { " because of \(String(describing: $0))" } ?? "")
    }

    /// Whatever a store threw as something to answer.
    package init(_ error: any Error) {
        if let error = error as? RelayError {
            self = error
        } else {
            self.init(
                .failed, "the relay failed; its operator finds the reason in its log", cause: error)
        }
    }

    static let unauthorized = RelayError(
        .unauthorized,
        "no such group, or another credential: enrol the group, or ask a member for the new credential"
    )
}

// The one error of the wire format.

/// Bytes from a peer that are no message of this protocol.
///
/// `description` names the field and the reason, never content, and is safe to send back.
package struct WireError: Error, Equatable, CustomStringConvertible {
    package struct Code: Hashable, Sendable {
        private var name: String
        /// A structure, field or value that the protocol does not have.
        package static let malformed = Code(name: "malformed")
        /// A size, count or number above its limit.
        package static let tooLarge = Code(name: "too large")
        /// A kind of message that this version does not know and must not skip.
        package static let unknownKind = Code(name: "unknown kind")
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package static func == (left: WireError, right: WireError) -> Bool { left.code == right.code }

    package var description: String { message }
}

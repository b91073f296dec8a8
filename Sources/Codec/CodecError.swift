// The one error of the codecs.

/// Bytes that are not what they claim to be: from a damaged file or a faulty or hostile peer.
package struct CodecError: Error, Equatable, CustomStringConvertible {
    package struct Code: Hashable, Sendable {
        private var name: String
        /// The bytes end before the value does.
        package static let truncated = Code(name: "truncated")
        /// A tag, length or structure that the format does not have.
        package static let malformed = Code(name: "malformed")
        /// A count, size or depth above its limit.
        package static let tooLarge = Code(name: "too large")
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package static func == (left: CodecError, right: CodecError) -> Bool { left.code == right.code }

    package var description: String { message }
}

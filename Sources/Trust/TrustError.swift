// The one error of trust: a code to act on, and a message that says what to do.

internal import COpenSSL

/// A key that cannot be used, or a peer that cannot be trusted.
///
/// `description` is safe to log or to send to a peer: it holds no key and no secret. Equality is by
/// code.
package struct TrustError: Error, Equatable, Sendable, CustomStringConvertible,
    CustomDebugStringConvertible
{
    /// The kind of failure: open, so that it can grow.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// Bytes that are no key, or a certificate of another kind.
        package static let invalidKey = Code(rawValue: "invalidKey")
        /// The peer proved a key that may not talk here.
        package static let notTrusted = Code(rawValue: "notTrusted")
        /// The peer does not trust this node's key.
        package static let notTrustedThere = Code(rawValue: "notTrustedThere")
        /// What came is not TLS 1.3, or was changed on the way.
        package static let protocolBroken = Code(rawValue: "protocolBroken")
        /// The peer ended the channel in an orderly way.
        package static let ended = Code(rawValue: "ended")
        /// OpenSSL could not do what it always can.
        package static let library = Code(rawValue: "library")
    }

    package var code: Code
    package var message: String
    /// OpenSSL's own words, all of them.
    package var details: [String]

    package init(_ code: Code, _ message: String, details: [String] = []) {
        self.code = code
        self.message = message
        self.details = details
    }

    package static func == (left: TrustError, right: TrustError) -> Bool { left.code == right.code }

    package var description: String { message }
    package var debugDescription: String {
        ([message, "(\(code.rawValue))"] + details).joined(separator: " ")
    }
}

/// OpenSSL's queue of errors of this thread: cleared before a call, emptied after it.
enum ErrorQueue {
    static func clear() { ERR_clear_error() }

    static func take() -> [(code: UInt, text: String)] {
        var found: [(code: UInt, text: String)] = []
        while true {
            let code = ERR_get_error()
            if code == 0 { return found }
            var buffer = [CChar](repeating: 0, count: 256)
            ERR_error_string_n(code, &buffer, buffer.count)
            let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            found.append((UInt(code), String(decoding: bytes, as: UTF8.self)))
        }
    }

    /// The error of a call that fails only when memory is gone or the library is broken.
    static func failure(_ task: String) -> TrustError {
        TrustError(.library, "cannot \(task): see the log", details: take().map(\.text))
    }
}

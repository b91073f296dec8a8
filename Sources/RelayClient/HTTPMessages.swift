// What goes into the HTTP client and what comes out of it, as plain values.

internal import RelayProtocol

/// How requests reach a relay.
package struct HTTPSettings: Sendable {
    package var address: RelayAddress
    /// A PEM file of authorities that are trusted in place of the system's.
    package var authoritiesFile: String?
    /// The URL of a proxy; nil for none, whatever the environment says.
    package var proxy: String?
    package var connectMilliseconds = RelayClientLimits.connectMilliseconds
    /// A request in which nothing moves for this time fails. Until its answer begins, what it asks the
    /// relay to wait is added, and a time for what the system still has to send.
    package var stallMilliseconds = RelayClientLimits.stallMilliseconds

    package init(_ address: RelayAddress) { self.address = address }
}

/// One request. Its headers can hold secrets: it has no description.
package struct HTTPRequest: Sendable {
    package var method: String
    /// Behind the relay's address; begins with a slash.
    package var path: String
    package var query: [(name: String, value: String)] = []
    package var headers: [(name: String, value: String)] = []
    /// nil sends none, and no length; empty a length of 0.
    package var body: [UInt8]?
    /// An answer with a longer body fails.
    package var answerBytesMax = RelayClientLimits.answerBytesMax
    /// How long the relay may keep the request before it answers, in seconds.
    package var waitSeconds = 0

    package init(_ method: String, _ path: String) {
        self.method = method
        self.path = path
    }

    /// Path and query as they stand in the URL: everything but unreserved signs (RFC 3986, section 2.3) is
    /// escaped in the query.
    var target: String {
        guard !query.isEmpty else { return path }
        let pairs = query.map { "\(Self.escaped($0.name))=\(Self.escaped($0.value))" }
        return "\(path)?\(pairs.joined(separator: "&"))"
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default: result += "%" + Hex.text([byte]).uppercased()
            }
        }
        return result
    }
}

/// A whole answer.
package struct HTTPResponse: Sendable {
    package var status: Int
    /// By their names in lower case; of several of one name the last.
    package var headers: [String: String]
    package var body: [UInt8]

    package init(status: Int, headers: [String: String], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Why there is no whole answer. The text is safe to show: it holds no header and no content.
package struct HTTPFailure: Error, Equatable, Sendable {
    package enum Kind: Sendable {
        /// No connection, no TLS, or it broke.
        case noAnswer
        /// The time was over.
        case timeOut
        /// The answer is longer than the request allows.
        case tooLarge
        /// The caller's wish, or the client was closed.
        case cancelled
    }

    package var kind: Kind
    package var text: String

    init(_ kind: Kind, _ text: String) {
        self.kind = kind
        self.text = String(text.prefix(RelayClientLimits.errorTextBytesMax))
    }
}

/// Names a request of one client.
package struct HTTPRequestID: Hashable, Sendable {
    let number: UInt64
}

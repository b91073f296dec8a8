// The door between sessions and the network: what a session needs of a connection, and no more.

/// A number the engine gives to each connection; never used twice.
package struct LinkID: Hashable, Comparable, Sendable {
    package var number: UInt64
    package init(_ number: UInt64) { self.number = number }
    package static func < (left: LinkID, right: LinkID) -> Bool { left.number < right.number }
}

/// A number the engine gives to each attempt to connect.
package struct DialID: Hashable, Comparable, Sendable {
    package var number: UInt64
    package init(_ number: UInt64) { self.number = number }
    package static func < (left: DialID, right: DialID) -> Bool { left.number < right.number }
}

/// Who opened a connection.
package enum LinkDirection: Hashable, Sendable {
    case dialed(DialID)
    case accepted
}

/// An ordered, reliable channel that carries whole messages; TCP, TLS or a simulation.
///
/// It never calls the engine from inside these calls: losses and room in the queue are reported
/// from the caller's loop.
package protocol Link: AnyObject {
    /// Queues one frame of at most `WireLimits.frameBytesMax` bytes.
    func send(_ frame: [UInt8])
    /// Sends what is queued, for a few seconds at most, then closes. Nothing is reported
    /// afterwards.
    func close()
    /// Closes now; what is queued is dropped. Nothing is reported afterwards.
    func abort()
    /// Bytes that wait to be taken by the network.
    var queuedBytes: Int { get }
}

/// A place where a node may answer.
package struct PeerAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// A name or a numeric address; IPv6 may carry a zone after `%`.
    package var host: String
    package var port: UInt16

    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    package var isIPv6: Bool { host.contains(":") }

    package var description: String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }

    package static func < (left: PeerAddress, right: PeerAddress) -> Bool {
        left.host != right.host ? left.host < right.host : left.port < right.port
    }
}

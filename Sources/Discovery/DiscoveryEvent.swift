// What discovery tells its owner. All of it is a hint and never the truth: who is alive is known
// only from the heartbeat of an authenticated connection.

/// An instance of the service on the local network, as its announcement describes it.
///
/// It is not a peer that was reached, nor one whose identity is proven: records of two nodes have
/// been seen mixed. Verify the identity in the handshake.
package struct DiscoveredPeer: Sendable, Equatable {
    package var instanceName: String
    /// Keys in lower case.
    package var txt: [String: String]
    /// Numeric hosts, by interface and IPv4 first; link-local IPv6 carries its scope (`fe80::1%2`).
    package var addresses: [String]
    package var port: UInt16
    /// Indices of the interfaces on which it answered, ascending.
    package var interfaces: [UInt32]

    package init(
        instanceName: String, txt: [String: String], addresses: [String], port: UInt16,
        interfaces: [UInt32]
    ) {
        self.instanceName = instanceName
        self.txt = txt
        self.addresses = addresses
        self.port = port
        self.interfaces = interfaces
    }
}

/// What the service itself is doing.
package enum DiscoveryState: Sendable, Equatable {
    case starting
    case running
    /// Others are seen, but this node's name is held by another program; tried again by itself.
    case conflict(reason: String)
    /// No daemon: tried again by itself. The reason is in words, with the remedy.
    case unavailable(reason: String)
    case stopped
}

package enum DiscoveryEvent: Sendable, Equatable {
    /// New, changed, or answering again after silence: dial at once.
    case appeared(DiscoveredPeer)
    /// Its announcement was taken back or was not repeated. Never delete state on this.
    case disappeared(instanceName: String)
    case stateChanged(DiscoveryState)
}

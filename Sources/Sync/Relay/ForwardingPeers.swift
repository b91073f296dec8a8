// Who forwards on one network: the writer with the lowest node id among those that are linked and have a
// relay that works. The others stand by.

internal import Wire

extension SyncEngine {
    /// Says to all peers whether this node has a relay that works.
    package func setForwards(_ forwards: Bool, now: Milliseconds) {
        guard forwards != self.forwards else { return }
        self.forwards = forwards
        tick(now)
    }

    /// Linked writers that say that they have a relay that works.
    package var forwardingPeers: [String] {
        links.values.filter { $0.isActive && $0.session.stated?.forwards == true && mayWrite($0) }
            .map(\.peerNode)
    }
}

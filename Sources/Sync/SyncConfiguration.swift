// What an engine is told when it is made: who it is, and how eager it should be.

/// The identity and the settings of one node's sessions.
package struct SyncConfiguration: Sendable {
    /// The node's id; printable ASCII, at most 128 bytes.
    package var node: String
    /// The group's id; printable ASCII, at most 128 bytes.
    package var group: String
    /// A name for people.
    package var name: String
    /// Random, new for each process.
    package var run: UInt64
    /// Where this node accepts connections; 0 when it does not.
    package var listenPort: UInt16
    /// The least time between two deltas of own changes.
    package var pushGap: Milliseconds

    package init(
        node: String, group: String, name: String, run: UInt64, listenPort: UInt16,
        pushGap: Milliseconds = SyncLimits.pushGapMilliseconds
    ) {
        self.node = node
        self.group = group
        self.name = name
        self.run = run
        self.listenPort = listenPort
        self.pushGap = pushGap
    }
}

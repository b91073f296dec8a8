// The pieces of the simulated network: a connection, its two ends, a machine.

package import Store
package import Sync
internal import TestKit

/// Two ends and the frames between them.
package final class SimulatedConnection {
    package let dialer: SimulatedNode
    package let acceptor: SimulatedNode
    package let openedAt: Milliseconds
    package var dialerEnd: SimulatedLink?
    package var acceptorEnd: SimulatedLink?
    package var isOpen = true
    /// Frames vanish, nobody is told: a half-open connection.
    package var isBlackHole = false
    /// Frames of the node of this name vanish.
    package var silent: String?
    /// What is on the way still arrives, nothing else is taken.
    package var isDying = false
    /// Wire bytes until the connection breaks, counted over both directions in sending order.
    package var bytesUntilCut: Int?
    /// Frames until the connection breaks, likewise.
    package var framesUntilCut: Int?

    package init(dialer: SimulatedNode, acceptor: SimulatedNode, openedAt: Milliseconds) {
        self.dialer = dialer
        self.acceptor = acceptor
        self.openedAt = openedAt
    }
}

/// One end of a connection, as its engine sees it.
package final class SimulatedLink: Link {
    package unowned let network: SimulatedNetwork
    package let connection: SimulatedConnection
    package let node: SimulatedNode
    package var id: LinkID?
    package var isClosed = false
    /// When the last queued frame has left, and when it arrives.
    private var departsAt: Milliseconds = .min
    private var arrivesAt: Milliseconds = .min
    private var queue: [(departsAt: Milliseconds, size: Int)] = []
    package private(set) var framesSent = 0

    package init(
        _ network: SimulatedNetwork, _ connection: SimulatedConnection, _ node: SimulatedNode
    ) {
        self.network = network
        self.connection = connection
        self.node = node
    }

    package var other: SimulatedLink? {
        connection.dialerEnd === self ? connection.acceptorEnd : connection.dialerEnd
    }

    package var queuedBytes: Int {
        if let rate = network.bytesPerMillisecond {
            return Int(max(departsAt, network.now) - network.now) * rate
        }
        queue.removeAll { $0.departsAt <= network.now }
        return queue.reduce(0) { $0 + $1.size }
    }

    package func send(_ frame: [UInt8]) {
        guard !isClosed, connection.isOpen, !connection.isDying, network.maySend?(node) ?? true
        else { return }
        framesSent += 1
        let size = frame.count + 4
        let spent = network.bytesPerMillisecond.map { Milliseconds(size / max(1, $0)) } ?? 0
        departsAt = max(departsAt, network.now) + spent
        arrivesAt = max(arrivesAt, departsAt + network.latency())
        queue.append((departsAt, size))
        network.record(frame, on: self)
        if let left = connection.bytesUntilCut {
            connection.bytesUntilCut = left - size
            if left < size { return network.breakOff(connection) }
        }
        if let left = connection.framesUntilCut {
            connection.framesUntilCut = left - 1
            if left <= 0 { return network.breakOff(connection) }
        }
        let arrival = arrivesAt
        network.schedule(at: arrival) { [network] in
            guard self.connection.isOpen, !self.connection.isBlackHole,
                self.connection.silent != self.node.name, let other = self.other, !other.isClosed
            else { return }
            network.deliver(frame, to: other)
        }
        // A long frame comes in bit by bit.
        for moment in stride(from: arrivesAt - spent + 2_000, to: arrivesAt, by: 2_000) {
            network.schedule(at: moment) { [network] in network.trickle(self) }
        }
        if spent > 0 {
            network.schedule(at: departsAt) { [network] in network.writable(self) }
        }
    }

    package func close() {
        guard !isClosed else { return }
        isClosed = true
        // What is queued still arrives; then the other end learns of the end.
        let arrival = max(arrivesAt, network.now) + network.latency()
        network.schedule(at: arrival) { [network] in
            guard self.connection.isOpen, !self.connection.isBlackHole,
                self.connection.silent != self.node.name
            else { return }
            self.connection.isOpen = false
            if let other = self.other, !other.isClosed { network.lose(other, "closed by the peer") }
        }
    }

    package func abort() {
        guard !isClosed else { return }
        isClosed = true
        let wasOpen = connection.isOpen
        // What is queued or on its way arrives nowhere.
        connection.isOpen = false
        network.schedule(at: network.now + network.latency()) { [network] in
            guard wasOpen, !self.connection.isBlackHole,
                self.connection.silent != self.node.name, let other = self.other, !other.isClosed
            else { return }
            network.lose(other, "the connection broke")
        }
    }
}

/// A node: an engine that can be stopped, started again and frozen.
package final class SimulatedNode {
    package let name: String
    package let address: PeerAddress
    /// Other addresses that lead here.
    package var aliases: [PeerAddress] = []
    package var replica: any SyncReplica
    package let isRetryable: (any Error) -> Bool
    package var engine: SyncEngine
    package var isUp = true
    /// Events wait for a frozen node, as for a machine that sleeps.
    package var isFrozen = false
    package var missed: [() -> Void] = []
    package var tickAt: Milliseconds?
    package var events: [SyncEvent] = []
    package var run: UInt64
    /// One more with every process that ends or begins.
    package var life = 0

    package init(
        name: String, address: PeerAddress, replica: any SyncReplica, engine: SyncEngine,
        isRetryable: @escaping (any Error) -> Bool, run: UInt64
    ) {
        self.name = name
        self.address = address
        self.replica = replica
        self.engine = engine
        self.isRetryable = isRetryable
        self.run = run
    }
}

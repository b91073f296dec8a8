// The pieces of the simulated network: a connection, its two ends, a machine.

import Store
import Sync
import TestKit

/// Two ends and the frames between them.
final class SimulatedConnection {
    let dialer: SimulatedNode
    let acceptor: SimulatedNode
    let openedAt: Milliseconds
    var dialerEnd: SimulatedLink?
    var acceptorEnd: SimulatedLink?
    var isOpen = true
    /// Frames vanish, nobody is told: a half-open connection.
    var isBlackHole = false
    /// What is on the way still arrives, nothing else is taken.
    var isDying = false
    /// Wire bytes until the connection breaks, counted over both directions in sending order.
    var bytesUntilCut: Int?
    /// Frames until the connection breaks, likewise.
    var framesUntilCut: Int?

    init(dialer: SimulatedNode, acceptor: SimulatedNode, openedAt: Milliseconds) {
        self.dialer = dialer
        self.acceptor = acceptor
        self.openedAt = openedAt
    }
}

/// One end of a connection, as its engine sees it.
final class SimulatedLink: Link {
    unowned let network: SimulatedNetwork
    let connection: SimulatedConnection
    let node: SimulatedNode
    var id: LinkID?
    var isClosed = false
    /// When the last queued frame has left, and when it arrives.
    private var departsAt: Milliseconds = .min
    private var arrivesAt: Milliseconds = .min
    private var queue: [(departsAt: Milliseconds, size: Int)] = []
    private(set) var framesSent = 0

    init(_ network: SimulatedNetwork, _ connection: SimulatedConnection, _ node: SimulatedNode) {
        self.network = network
        self.connection = connection
        self.node = node
    }

    var other: SimulatedLink? {
        connection.dialerEnd === self ? connection.acceptorEnd : connection.dialerEnd
    }

    var queuedBytes: Int {
        if let rate = network.bytesPerMillisecond {
            return Int(max(departsAt, network.now) - network.now) * rate
        }
        queue.removeAll { $0.departsAt <= network.now }
        return queue.reduce(0) { $0 + $1.size }
    }

    func send(_ frame: [UInt8]) {
        guard !isClosed, connection.isOpen, !connection.isDying else { return }
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
                let other = self.other, !other.isClosed
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

    func close() {
        guard !isClosed else { return }
        isClosed = true
        // What is queued still arrives; then the other end learns of the end.
        let arrival = max(arrivesAt, network.now) + network.latency()
        network.schedule(at: arrival) { [network] in
            guard self.connection.isOpen, !self.connection.isBlackHole else { return }
            self.connection.isOpen = false
            if let other = self.other, !other.isClosed { network.lose(other, "closed by the peer") }
        }
    }
}

/// A node: an engine that can be stopped, started again and frozen.
final class SimulatedNode {
    let name: String
    let address: PeerAddress
    /// Other addresses that lead here.
    var aliases: [PeerAddress] = []
    var replica: any SyncReplica
    let isRetryable: (any Error) -> Bool
    var engine: SyncEngine
    var isUp = true
    /// Events wait for a frozen node, as for a machine that sleeps.
    var isFrozen = false
    var missed: [() -> Void] = []
    var tickAt: Milliseconds?
    var events: [SyncEvent] = []
    var run: UInt64

    init(
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

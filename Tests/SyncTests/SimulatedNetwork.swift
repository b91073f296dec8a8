// A network of engines in simulated time, from one seed: latency, bandwidth, resets, black holes,
// cuts at a byte, frozen and restarted nodes. It knows replicas only by their protocol, so that the
// same network drives replicas in memory and in real files.

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
    fileprivate(set) var isDying = false
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
    let replica: any SyncReplica
    fileprivate let isRetryable: (any Error) -> Bool
    fileprivate(set) var engine: SyncEngine
    fileprivate(set) var isUp = true
    /// Events wait for a frozen node, as for a machine that sleeps.
    fileprivate(set) var isFrozen = false
    fileprivate var missed: [() -> Void] = []
    fileprivate var tickAt: Milliseconds?
    var events: [SyncEvent] = []
    var run: UInt64

    fileprivate init(
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

/// The clock, the wires and the machines.
final class SimulatedNetwork {
    private struct Event {
        let at: Milliseconds
        let order: UInt64
        let action: () -> Void
    }

    private(set) var now: Milliseconds = 1_000_000
    var random: SeededGenerator
    private(set) var nodes: [SimulatedNode] = []
    private(set) var connections: [SimulatedConnection] = []
    private var events: [Event] = []
    private var lastOrder: UInt64 = 0

    // Weather.
    var latencyRange: ClosedRange<Milliseconds> = 1...1
    var bytesPerMillisecond: Int?
    /// Chance in 10,000 that a frame breaks its connection.
    var resetsPerTenThousand = 0
    /// Pairs that cannot reach each other.
    private var separated: Set<[String]> = []

    /// Called with every frame that is sent.
    var onFrame: (([UInt8], SimulatedLink) -> Void)?
    /// Called after every connection is made, before its first byte.
    var onConnection: ((SimulatedConnection) -> Void)?

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    // MARK: Nodes

    func addNode(
        _ name: String, replica: any SyncReplica, group: String = "group",
        isRetryable: @escaping (any Error) -> Bool = { ($0 as? MemoryError)?.isRetryable ?? false }
    ) -> SimulatedNode {
        let address = PeerAddress(host: "10.0.0.\(nodes.count + 1)", port: 4_000)
        let run = random.next()
        let node = SimulatedNode(
            name: name, address: address, replica: replica,
            engine: makeEngine(name, group, run, address, replica, isRetryable),
            isRetryable: isRetryable, run: run)
        node.engine.onEvent = { [unowned node] in node.events.append($0) }
        nodes.append(node)
        return node
    }

    private func makeEngine(
        _ name: String, _ group: String, _ run: UInt64, _ address: PeerAddress,
        _ replica: any SyncReplica, _ isRetryable: @escaping (any Error) -> Bool
    ) -> SyncEngine {
        SyncEngine(
            configuration: SyncConfiguration(
                node: name, group: group, name: "the \(name)", run: run,
                listenPort: address.port),
            replica: replica, random: { [unowned self] in self.random.next() },
            isRetryable: isRetryable)
    }

    /// The process dies: its connections break, its engine is forgotten.
    func stop(_ node: SimulatedNode) {
        node.isUp = false
        for connection in connections where connection.isOpen {
            if connection.dialer === node || connection.acceptor === node { cut(connection) }
        }
    }

    /// A new process on the same replica, which knows what the old one remembered.
    func restart(_ node: SimulatedNode, run: UInt64? = nil) {
        let remembered = node.engine.book.remembered
        node.run = run ?? random.next()
        node.engine = makeEngine(
            node.name, node.engine.configuration.group, node.run, node.address, node.replica,
            node.isRetryable)
        node.engine.onEvent = { [unowned node] in node.events.append($0) }
        node.isUp = true
        node.tickAt = nil
        enter(node) { $0.updateBook(self.now) { $0.restore(remembered) } }
    }

    func freeze(_ node: SimulatedNode) { node.isFrozen = true }

    /// The machine wakes up; what came meanwhile comes after its first look at the clock.
    func thaw(_ node: SimulatedNode) {
        node.isFrozen = false
        let missed = node.missed
        node.missed = []
        enter(node) { $0.tick(self.now) }
        for action in missed { action() }
    }

    // MARK: Wires

    func separate(_ left: SimulatedNode, _ right: SimulatedNode, breaks: Bool = true) {
        separated.insert([left.name, right.name].sorted())
        for connection in connections where connection.isOpen && isBetween(connection, left, right)
        {
            if breaks { cut(connection) } else { connection.isBlackHole = true }
        }
    }

    func join(_ left: SimulatedNode, _ right: SimulatedNode) {
        separated.remove([left.name, right.name].sorted())
    }

    func joinAll() { separated = [] }

    private func isBetween(
        _ connection: SimulatedConnection, _ left: SimulatedNode, _ right: SimulatedNode
    ) -> Bool {
        connection.dialer === left && connection.acceptor === right
            || connection.dialer === right && connection.acceptor === left
    }

    func openConnections(_ left: SimulatedNode, _ right: SimulatedNode) -> [SimulatedConnection] {
        connections.filter { connection in
            connection.isOpen && isBetween(connection, left, right)
                && connection.dialerEnd?.isClosed == false
                && connection.acceptorEnd?.isClosed == false
        }
    }

    /// The connection breaks behind what was sent so far.
    fileprivate func breakOff(_ connection: SimulatedConnection) {
        guard !connection.isDying else { return }
        connection.isDying = true
        schedule(at: now + 2 * latencyRange.upperBound) { [self] in cut(connection) }
    }

    /// Both ends learn of the break after a moment; what was on the way is lost.
    func cut(_ connection: SimulatedConnection) {
        guard connection.isOpen else { return }
        connection.isOpen = false
        for end in [connection.dialerEnd, connection.acceptorEnd] {
            guard let end else { continue }
            schedule(at: now + latency()) { [self] in
                if !end.isClosed { lose(end, "the connection broke") }
            }
        }
    }

    /// `left` finds `right`, as discovery would.
    func discover(_ left: SimulatedNode, _ right: SimulatedNode) {
        enter(left) { engine in
            engine.updateBook(self.now) {
                $0.discovered(
                    node: right.name, name: right.name, addresses: [right.address], now: self.now)
            }
        }
    }

    /// Everybody finds everybody.
    func discoverAll() {
        for left in nodes {
            for right in nodes where left !== right { discover(left, right) }
        }
    }

    func latency() -> Milliseconds {
        let width = Int(latencyRange.upperBound - latencyRange.lowerBound) + 1
        return latencyRange.lowerBound + Milliseconds(random.below(width))
    }

    // MARK: Events

    func schedule(at time: Milliseconds, _ action: @escaping () -> Void) {
        lastOrder += 1
        push(Event(at: max(time, now), order: lastOrder, action: action))
    }

    /// Calls an engine and plans what follows from it.
    func enter(_ node: SimulatedNode, _ action: @escaping (SyncEngine) -> Void) {
        guard node.isUp else { return }
        if node.isFrozen {
            node.missed.append { [weak self] in self?.enter(node, action) }
            return
        }
        action(node.engine)
        for dial in node.engine.takeDials(now) { connect(node, dial) }
        planTick(node)
    }

    private func planTick(_ node: SimulatedNode) {
        guard let deadline = node.engine.nextDeadline else {
            node.tickAt = nil
            return
        }
        guard node.tickAt != deadline else { return }
        node.tickAt = deadline
        let engine = node.engine
        schedule(at: deadline) { [self] in
            guard node.tickAt == deadline, node.engine === engine, node.isUp else { return }
            node.tickAt = nil
            if !node.isFrozen { enter(node) { $0.tick(self.now) } }
        }
    }

    private func connect(_ node: SimulatedNode, _ dial: Dial) {
        let engine = node.engine
        let wait = latency()
        for address in dial.addresses {
            guard
                let target = nodes.first(where: {
                    $0.isUp && ($0.address == address || $0.aliases.contains(address))
                }),
                !separated.contains([node.name, target.name].sorted())
            else { continue }
            schedule(at: now + wait) { [self] in
                guard node.engine === engine, node.isUp, target.isUp else {
                    return fail(node, engine, dial)
                }
                open(node, target, dial, address)
            }
            return
        }
        schedule(at: now + 2 * wait) { [self] in fail(node, engine, dial) }
    }

    private func fail(_ node: SimulatedNode, _ engine: SyncEngine, _ dial: Dial) {
        guard node.engine === engine else { return }
        enter(node) { $0.dialFailed(dial.id, reason: "connection refused", now: self.now) }
    }

    private func open(
        _ node: SimulatedNode, _ target: SimulatedNode, _ dial: Dial, _ address: PeerAddress
    ) {
        let connection = SimulatedConnection(dialer: node, acceptor: target, openedAt: now)
        let near = SimulatedLink(self, connection, node)
        let far = SimulatedLink(self, connection, target)
        connection.dialerEnd = near
        connection.acceptorEnd = far
        connections.append(connection)
        onConnection?(connection)
        let origin = PeerAddress(host: node.address.host, port: UInt16(20_000 + connections.count))
        enter(node) { [self] in
            near.id = $0.linkOpened(near, direction: .dialed(dial.id), address: address, now: now)
        }
        enter(target) { [self] in
            far.id = $0.linkOpened(far, direction: .accepted, address: origin, now: now)
        }
    }

    fileprivate func deliver(_ frame: [UInt8], to end: SimulatedLink) {
        if resetsPerTenThousand > 0, random.chance(resetsPerTenThousand, in: 10_000) {
            return cut(end.connection)
        }
        guard let id = end.id else { return }
        enter(end.node) { $0.received(id, frame, now: self.now) }
    }

    fileprivate func lose(_ end: SimulatedLink, _ reason: String) {
        end.isClosed = true
        guard let id = end.id else { return }
        enter(end.node) { $0.linkClosed(id, reason: reason, now: self.now) }
    }

    fileprivate func writable(_ end: SimulatedLink) {
        guard !end.isClosed, end.connection.isOpen, let id = end.id else { return }
        enter(end.node) { $0.linkWritable(id, now: self.now) }
    }

    fileprivate func trickle(_ end: SimulatedLink) {
        let connection = end.connection
        guard connection.isOpen, !connection.isBlackHole, let other = end.other, !other.isClosed,
            let id = other.id
        else { return }
        enter(other.node) { $0.heard(id, now: self.now) }
    }

    fileprivate func record(_ frame: [UInt8], on end: SimulatedLink) { onFrame?(frame, end) }

    // MARK: Running

    /// Runs until `condition` holds; false when it does not within `limit` milliseconds.
    @discardableResult
    func run(for limit: Milliseconds, until condition: () -> Bool = { false }) -> Bool {
        let end = now + limit
        var spins = 0
        while true {
            if condition() { return true }
            guard let next = events.first, next.at <= end else { break }
            spins = next.at == now ? spins + 1 : 0
            // Time must go on: an engine that asks to be woken for ever at one moment is broken.
            precondition(spins < 200_000, "the simulation hangs at \(now)")
            now = next.at
            pop()
            next.action()
        }
        now = end
        return condition()
    }

    private func precedes(_ left: Event, _ right: Event) -> Bool {
        left.at != right.at ? left.at < right.at : left.order < right.order
    }

    private func push(_ event: Event) {
        events.append(event)
        var child = events.count - 1
        while child > 0, precedes(events[child], events[(child - 1) / 2]) {
            events.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func pop() {
        guard let last = events.popLast(), !events.isEmpty else { return }
        events[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < events.count && precedes(events[child], events[least]) {
                least = child
            }
            if least == parent { return }
            events.swapAt(parent, least)
            parent = least
        }
    }
}

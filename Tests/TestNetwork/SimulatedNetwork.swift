// A network of engines in simulated time, from one seed: latency, bandwidth, resets, black holes,
// cuts at a byte, frozen and restarted nodes. It knows replicas only by their protocol, so that the
// same network drives replicas in memory and in real files.

package import Store
package import Sync
package import TestKit

/// The clock, the wires and the machines.
package final class SimulatedNetwork {
    private struct Event {
        let at: Milliseconds
        let order: UInt64
        let action: () -> Void
    }

    package private(set) var now: Milliseconds = 1_000_000
    package var random: SeededGenerator
    package private(set) var nodes: [SimulatedNode] = []
    package private(set) var connections: [SimulatedConnection] = []
    private var events: [Event] = []
    private var lastOrder: UInt64 = 0
    private var connectionsMade = 0

    // Weather.
    package var latencyRange: ClosedRange<Milliseconds> = 1...1
    package var bytesPerMillisecond: Int?
    /// Chance in 10,000 that a frame breaks its connection.
    package var resetsPerTenThousand = 0
    /// Pairs that cannot reach each other.
    private var separated: Set<[String]> = []
    /// Whether two nodes are on different networks, between which no connection is ever made.
    package var areApart: (SimulatedNode, SimulatedNode) -> Bool = { _, _ in false }

    /// Long runs keep no connection that has ended.
    package var forgetsClosed = false

    /// Called with every frame that is sent.
    package var onFrame: (([UInt8], SimulatedLink) -> Void)?
    /// Changes a frame on its way.
    package var onDeliver: (([UInt8]) -> [UInt8])?
    /// Called around every entry into an engine: whose process runs, and whether it lived.
    package var willEnter: ((SimulatedNode) -> Void)?
    package var didEnter: ((SimulatedNode) -> Void)?
    /// False when the process that sends is dead, though its code still runs to its end.
    package var maySend: ((SimulatedNode) -> Bool)?
    /// Called after every connection is made, before its first byte.
    package var onConnection: ((SimulatedConnection) -> Void)?

    package init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    // MARK: Nodes

    package func addNode(
        _ name: String, replica: any SyncReplica, group: String = "group",
        isRetryable: @escaping (any Error) -> Bool = {
            ($0 as? any RetryableError)?.isRetryable ?? false
        }
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
    package func stop(_ node: SimulatedNode) {
        node.isUp = false
        node.life += 1
        node.missed = []
        for connection in connections where connection.isOpen {
            if connection.dialer === node || connection.acceptor === node { cut(connection) }
        }
    }

    /// Lets go of the engine and the replica of a node that was stopped; returns what its process
    /// had remembered of peers.
    package func bury(_ node: SimulatedNode) -> [RememberedPeer] {
        let remembered = node.engine.book.remembered
        node.replica = NoReplica()
        node.engine = makeEngine(
            node.name, node.engine.configuration.group, node.run, node.address, node.replica,
            node.isRetryable)
        return remembered
    }

    /// A new process, which knows what the old one remembered, on the same replica or on one that
    /// was opened again.
    package func restart(
        _ node: SimulatedNode, replica: (any SyncReplica)? = nil,
        remembered: [RememberedPeer]? = nil
    ) {
        let remembered = remembered ?? node.engine.book.remembered
        node.run = random.next()
        node.life += 1
        node.isFrozen = false
        if let replica { node.replica = replica }
        node.engine = makeEngine(
            node.name, node.engine.configuration.group, node.run, node.address, node.replica,
            node.isRetryable)
        node.engine.onEvent = { [unowned node] in node.events.append($0) }
        node.isUp = true
        node.tickAt = nil
        enter(node) { $0.updateBook(self.now) { $0.restore(remembered) } }
    }

    package func freeze(_ node: SimulatedNode) { node.isFrozen = true }

    /// The machine wakes up; what came meanwhile comes after its first look at the clock.
    package func thaw(_ node: SimulatedNode) {
        node.isFrozen = false
        let missed = node.missed
        node.missed = []
        enter(node) { $0.tick(self.now) }
        for action in missed { action() }
    }

    // MARK: Wires

    package func separate(_ left: SimulatedNode, _ right: SimulatedNode, breaks: Bool = true) {
        separated.insert([left.name, right.name].sorted())
        for connection in connections where connection.isOpen && isBetween(connection, left, right)
        {
            if breaks { cut(connection) } else { connection.isBlackHole = true }
        }
    }

    /// What `left` sends to `right` vanishes; the other way it arrives. No connection can be made.
    package func silence(_ left: SimulatedNode, to right: SimulatedNode) {
        separated.insert([left.name, right.name].sorted())
        for connection in connections where connection.isOpen && isBetween(connection, left, right)
        {
            connection.silent = left.name
        }
    }

    package func join(_ left: SimulatedNode, _ right: SimulatedNode) {
        separated.remove([left.name, right.name].sorted())
    }

    package func joinAll() { separated = [] }

    /// Some nodes are on another network by now: what connects them with others breaks.
    package func moved() {
        for connection in connections
        where connection.isOpen && areApart(connection.dialer, connection.acceptor) {
            cut(connection)
        }
    }

    private func isBetween(
        _ connection: SimulatedConnection, _ left: SimulatedNode, _ right: SimulatedNode
    ) -> Bool {
        connection.dialer === left && connection.acceptor === right
            || connection.dialer === right && connection.acceptor === left
    }

    package func openConnections(_ left: SimulatedNode, _ right: SimulatedNode)
        -> [SimulatedConnection]
    {
        connections.filter { connection in
            connection.isOpen && isBetween(connection, left, right)
                && connection.dialerEnd?.isClosed == false
                && connection.acceptorEnd?.isClosed == false
        }
    }

    /// The connection breaks behind what was sent so far.
    package func breakOff(_ connection: SimulatedConnection) {
        guard !connection.isDying else { return }
        connection.isDying = true
        schedule(at: now + 2 * latencyRange.upperBound) { [self] in cut(connection) }
    }

    /// Both ends learn of the break after a moment; what was on the way is lost.
    package func cut(_ connection: SimulatedConnection) {
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
    package func discover(_ left: SimulatedNode, _ right: SimulatedNode) {
        enter(left) { engine in
            engine.updateBook(self.now) {
                $0.discovered(
                    node: right.name, name: right.name, addresses: [right.address], now: self.now)
            }
        }
    }

    /// Everybody finds everybody.
    package func discoverAll() {
        for left in nodes {
            for right in nodes where left !== right { discover(left, right) }
        }
    }

    package func latency() -> Milliseconds {
        let width = Int(latencyRange.upperBound - latencyRange.lowerBound) + 1
        return latencyRange.lowerBound + Milliseconds(random.below(width))
    }

    // MARK: Events

    package func schedule(at time: Milliseconds, _ action: @escaping () -> Void) {
        lastOrder += 1
        push(Event(at: max(time, now), order: lastOrder, action: action))
    }

    /// Calls an engine and plans what follows from it.
    package func enter(_ node: SimulatedNode, _ action: @escaping (SyncEngine) -> Void) {
        guard node.isUp else { return }
        if node.isFrozen {
            node.missed.append { [weak self] in self?.enter(node, action) }
            return
        }
        willEnter?(node)
        action(node.engine)
        for dial in node.engine.takeDials(now) { connect(node, dial) }
        planTick(node)
        didEnter?(node)
    }

    private func planTick(_ node: SimulatedNode) {
        guard let deadline = node.engine.nextDeadline else {
            node.tickAt = nil
            return
        }
        guard node.tickAt != deadline else { return }
        node.tickAt = deadline
        let life = node.life
        schedule(at: deadline) { [self] in
            guard node.tickAt == deadline, node.life == life, node.isUp else { return }
            node.tickAt = nil
            if !node.isFrozen { enter(node) { $0.tick(self.now) } }
        }
    }

    private func connect(_ node: SimulatedNode, _ dial: Dial) {
        let life = node.life
        let wait = latency()
        for address in dial.addresses {
            guard
                let target = nodes.first(where: {
                    $0.isUp && ($0.address == address || $0.aliases.contains(address))
                }),
                !separated.contains([node.name, target.name].sorted()), !areApart(node, target)
            else { continue }
            schedule(at: now + wait) { [self] in
                guard node.life == life, node.isUp, target.isUp else {
                    return fail(node, life, dial)
                }
                open(node, target, dial, address)
            }
            return
        }
        schedule(at: now + 2 * wait) { [self] in fail(node, life, dial) }
    }

    private func fail(_ node: SimulatedNode, _ life: Int, _ dial: Dial) {
        guard node.life == life else { return }
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
        if forgetsClosed { connections.removeAll { !$0.isOpen } }
        connections.append(connection)
        connectionsMade += 1
        onConnection?(connection)
        let origin = PeerAddress(
            host: node.address.host, port: UInt16(20_000 + connectionsMade % 40_000))
        enter(node) { [self] in
            near.id = $0.linkOpened(near, direction: .dialed(dial.id), address: address, now: now)
        }
        enter(target) { [self] in
            far.id = $0.linkOpened(far, direction: .accepted, address: origin, now: now)
        }
    }

    package func deliver(_ frame: [UInt8], to end: SimulatedLink) {
        if resetsPerTenThousand > 0, random.chance(resetsPerTenThousand, in: 10_000) {
            return cut(end.connection)
        }
        guard let id = end.id else { return }
        let frame = onDeliver?(frame) ?? frame
        enter(end.node) { $0.received(id, frame, now: self.now) }
    }

    package func lose(_ end: SimulatedLink, _ reason: String) {
        end.isClosed = true
        guard let id = end.id else { return }
        enter(end.node) { $0.linkClosed(id, reason: reason, now: self.now) }
    }

    package func writable(_ end: SimulatedLink) {
        guard !end.isClosed, end.connection.isOpen, let id = end.id else { return }
        enter(end.node) { $0.linkWritable(id, now: self.now) }
    }

    package func trickle(_ end: SimulatedLink) {
        let connection = end.connection
        guard connection.isOpen, !connection.isBlackHole, let other = end.other, !other.isClosed,
            let id = other.id
        else { return }
        enter(other.node) { $0.heard(id, now: self.now) }
    }

    package func record(_ frame: [UInt8], on end: SimulatedLink) { onFrame?(frame, end) }

    // MARK: Running

    /// Runs until `condition` holds; false when it does not within `limit` milliseconds.
    @discardableResult
    package func run(for limit: Milliseconds, until condition: () -> Bool = { false }) -> Bool {
        let end = now + limit
        var spins = 0
        while true {
            if condition() { return true }
            guard let next = events.first, next.at <= end else { break }
            spins = next.at == now ? spins + 1 : 0
            // Time must go on: an engine that asks to be woken for ever at one moment is broken.
            guard spins < 200_000 else { fatalError("the simulation hangs at \(now)") }
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

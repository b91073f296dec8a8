// One connection as a state machine: messages and time in, effects out. It reads no clock, opens no
// file and knows no socket; the engine does what it asks.

package import CausalModel
package import Wire

/// The protocol's side of one connection.
///
///     greeting ──hello──▶ stating ──state──▶ active ──▶ closed
///
/// It is not the place for decisions across connections (which of two survives, from whom to pull):
/// those are the engine's.
package struct Session: Sendable {
    package enum Phase: Sendable { case greeting, stating, active, closed }

    /// A delta that is coming in.
    package struct Incoming: Sendable, Equatable {
        package var header: HeaderMessage
        package var rowsDone: Int
        package var rowsTotal: Int
        package var hasLast = false
        /// A chunk of it was not taken: its end says nothing then.
        package var isRefused = false
    }

    package let configuration: SyncConfiguration
    package let direction: LinkDirection
    /// The node whose key the other side has proved; nil when nothing was proved.
    package let authenticated: String?
    package let openedAt: Milliseconds
    package private(set) var phase = Phase.greeting
    package private(set) var activeAt: Milliseconds?

    // What is known of the peer.
    package private(set) var peer: HelloMessage?
    package private(set) var stated: StatementMessage?
    /// It has rows of a removed node half received: where it stands does not count for collecting yet.
    package private(set) var isPeerUnsettled = false
    /// What the peer has for certain: its statements and the snapshots it sent from.
    package private(set) var peerHas = VersionVector()
    /// What it was ever seen to have on this connection. A statement may be older than the snapshot of
    /// a delta that was sent before it.
    package private(set) var peerHad = VersionVector()
    /// What it has, and what it will have when it has read all we sent: the base of the next delta.
    package private(set) var known = VersionVector()

    // Flow.
    package private(set) var incoming: Incoming?
    /// Chunks that arrived and were not credited yet.
    package private(set) var uncredited = 0
    /// Chunks that may be sent.
    package private(set) var credit = SyncLimits.creditWindow

    // Liveness.
    package private(set) var lastHeardAt: Milliseconds
    private var lastPingAt: Milliseconds
    private var pingNumber: UInt64 = 0
    private var probeDeadline: Milliseconds?
    private var floodWindowAt: Milliseconds
    private var floodCount = 0

    package init(
        configuration: SyncConfiguration, direction: LinkDirection, authenticated: String? = nil,
        now: Milliseconds
    ) {
        self.configuration = configuration
        self.direction = direction
        self.authenticated = authenticated
        openedAt = now
        lastHeardAt = now
        lastPingAt = now
        floodWindowAt = now
    }

    // MARK: Start and end

    /// The link is up: both sides greet at once.
    package func opened(origin: Origin, schemaFingerprint: UInt64) -> [Effect] {
        var dial: UInt64 = 0
        if case .dialed(let id) = direction { dial = id.number }
        return [
            .send(
                .hello(
                    HelloMessage(
                        group: configuration.group, node: configuration.node,
                        run: configuration.run, name: configuration.name, origin: origin,
                        listenPort: configuration.listenPort,
                        schemaFingerprint: schemaFingerprint, dial: dial)))
        ]
    }

    package mutating func close() { phase = .closed }

    // MARK: Arrival

    /// Bytes came in: the peer lives, whatever they say.
    package mutating func heard(_ now: Milliseconds) {
        lastHeardAt = max(lastHeardAt, now)
        probeDeadline = nil
    }

    /// A frame came in, of whatever: so many in one second are a flood.
    package mutating func countFrame(now: Milliseconds) throws(SyncError) {
        heard(now)
        if now - floodWindowAt >= 1_000 {
            floodWindowAt = now
            floodCount = 0
        }
        floodCount += 1
        guard floodCount <= SyncLimits.messagesPerSecondMax else {
            throw SyncError(.flood, "more than \(floodCount - 1) messages came within a second")
        }
    }

    /// A message arrived and waits for its turn; its amount is checked at once.
    package mutating func arrived(_ message: Message) throws(SyncError) {
        switch message {
        case .chunk, .wholeDelta:
            guard phase == .active || phase == .stating, uncredited < SyncLimits.creditWindow
            else { throw SyncError(.malformed, "a chunk came without credit") }
            uncredited += 1
        default: break
        }
    }

    /// A message's turn has come.
    ///
    /// - Throws: ``SyncError`` when the peer breaks the protocol or cannot be a partner.
    package mutating func receive(_ message: Message, now: Milliseconds) throws(SyncError)
        -> [Effect]
    {
        switch message {
        case .goodbye(let goodbye): return [.left(goodbye)]
        case .ignorable: return []
        default: break
        }
        switch phase {
        case .greeting:
            guard case .hello(let hello) = message else {
                throw SyncError(.malformed, "the first message was no hello")
            }
            try greet(hello)
            return [.greeted(hello)]
        case .stating:
            switch message {
            case .state(let state):
                phase = .active
                activeAt = now
                note(state)
                return [.stated(state, isFirst: true)]
            case .ping(let number): return [.send(.pong(number))]
            case .pong: return []
            default: throw SyncError(.malformed, "a message came before the peer's state")
            }
        case .active: return try receiveActive(message)
        case .closed: return []
        }
    }

    private mutating func greet(_ hello: HelloMessage) throws(SyncError) {
        let own = WireLimits.versions
        if hello.versions.upperBound < own.lowerBound {
            throw SyncError(
                .versionTooOld,
                "\(hello.node) speaks protocol \(hello.versions.upperBound) at most, "
                    + "\(configuration.node) needs \(own.lowerBound)")
        }
        if hello.versions.lowerBound > own.upperBound {
            throw SyncError(
                .versionTooNew,
                "\(hello.node) speaks protocol \(hello.versions.lowerBound) at least, "
                    + "\(configuration.node) knows \(own.upperBound)")
        }
        if let authenticated, hello.node != authenticated {
            throw SyncError(
                .malformed, "\(authenticated) says that it is \(hello.node), whose key it has not")
        }
        if hello.group != configuration.group {
            throw SyncError(
                .wrongGroup,
                "\(hello.node) is in group \(hello.group), \(configuration.node) in "
                    + configuration.group)
        }
        if hello.node == configuration.node {
            if hello.run == configuration.run {
                throw SyncError(.selfConnection, "this is the node itself")
            }
            throw SyncError(
                .clonedIdentity, "two running nodes say that they are \(hello.node)")
        }
        peer = hello
        phase = .stating
    }

    private mutating func receiveActive(_ message: Message) throws(SyncError) -> [Effect] {
        switch message {
        case .schema(let fingerprint, let description):
            return [.adoptSchema(fingerprint: fingerprint, description)]
        case .want(let want):
            known = want.base.joined(peerHas)
            return [.wanted(want)]
        case .statement(let statement):
            note(statement)
            var effects: [Effect] = [.stated(statement, isFirst: false)]
            if statement.credit > 0 { effects.append(try take(credit: statement.credit)) }
            return effects
        case .credit(let count): return [try take(credit: count)]
        case .ask(let nodes): return [.asked(nodes)]
        case .reports(let reports): return [.reported(reports)]
        case .deltaBegin(let header):
            try begin(header)
            return []
        case .chunk(let chunk):
            guard var delta = incoming, !delta.hasLast else {
                throw SyncError(.malformed, "a chunk came outside a delta")
            }
            delta.hasLast = chunk.isLast
            incoming = delta
            return [.apply(chunk, delta.header)]
        case .deltaEnd:
            guard let delta = incoming else {
                throw SyncError(.malformed, "a delta ended that had not begun")
            }
            return [.finish(delta.header)]
        case .wholeDelta(let header, let chunk):
            incoming = nil
            saw(header)
            return [.applyWhole(chunk, header)]
        case .ping(let number): return [.send(.pong(number))]
        case .pong: return []
        default: throw SyncError(.malformed, "a greeting came in the middle of a session")
        }
    }

    private mutating func begin(_ header: HeaderMessage) throws(SyncError) {
        if header.isContinuation {
            guard let delta = incoming, delta.header.base == header.base,
                delta.header.source == header.source,
                header.snapshot.covers(delta.header.snapshot)
            else { throw SyncError(.malformed, "a delta goes on that had not begun") }
            // Both terms are far below the range of Int: see `applied` and the wire's limit.
            let rows = delta.rowsDone
            incoming = Incoming(
                header: header, rowsDone: rows, rowsTotal: rows + header.rows,
                isRefused: delta.isRefused)
        } else {
            incoming = Incoming(header: header, rowsDone: 0, rowsTotal: header.rows)
        }
        saw(header)
    }

    /// What a peer sends from is its own vector.
    private mutating func saw(_ header: HeaderMessage) {
        isPeerUnsettled = header.hasUnsettled
        peerHas.join(header.snapshot)
        peerHad.join(header.snapshot)
        known.join(header.snapshot)
    }

    private mutating func note(_ statement: StatementMessage) {
        stated = statement
        isPeerUnsettled = statement.hasUnsettled
        peerHas = statement.vector
        peerHad.join(statement.vector)
        known.join(statement.vector)
    }

    private mutating func take(credit count: Int) throws(SyncError) -> Effect {
        guard count > 0, count <= SyncLimits.creditWindow - credit else {
            throw SyncError(.malformed, "credit came for chunks that were not sent")
        }
        credit += count
        return .credited
    }

    // MARK: What the engine did

    /// A chunk is in the store. Returns the credit to give back.
    package mutating func applied(rows: Int) -> [Effect] {
        if var delta = incoming {
            let limit = Int(WireLimits.rowsMax)
            delta.rowsDone = min(limit, delta.rowsDone + max(0, min(rows, limit)))
            incoming = delta
        }
        uncredited -= 1
        return [.send(.credit(1))]
    }

    /// A chunk was not taken, nor will the rest of its delta be.
    package mutating func refuseIncoming() { incoming?.isRefused = true }

    /// A delta came to its end.
    package mutating func finished() { incoming = nil }

    /// A delta of one chunk is in the store; its credit goes with the next statement.
    package mutating func appliedWhole() -> Int {
        uncredited -= 1
        return 1
    }

    /// One chunk is on its way.
    package mutating func sentChunk() {
        assert(credit > 0, "a chunk is sent only with credit")
        credit -= 1
    }

    /// A delta is on its way to the last byte: the peer will have this.
    package mutating func sentDelta(to snapshot: VersionVector) { known.join(snapshot) }

    // MARK: Time

    /// When `tick` must be called at the latest.
    package var nextDeadline: Milliseconds {
        switch phase {
        case .greeting: openedAt + SyncLimits.helloMilliseconds
        case .stating:
            min(openedAt + SyncLimits.stateMilliseconds, livenessDeadline)
        case .active: livenessDeadline
        case .closed: .max
        }
    }

    /// The side that dialled asks first, so that an idle connection costs one ping and one pong.
    private var pingDelay: Milliseconds {
        direction == .accepted
            ? SyncLimits.pingMilliseconds + SyncLimits.probeMilliseconds
            : SyncLimits.pingMilliseconds
    }

    private var livenessDeadline: Milliseconds {
        let ping = max(lastHeardAt, lastPingAt) + pingDelay
        let dead = lastHeardAt + SyncLimits.deadMilliseconds
        return min(ping, min(dead, probeDeadline ?? .max))
    }

    package mutating func tick(_ now: Milliseconds) -> [Effect] {
        switch phase {
        case .closed: return []
        case .greeting:
            guard now - openedAt >= SyncLimits.helloMilliseconds else { return [] }
            return [.refuse(SyncError(.timeout, "the peer did not say hello in time"))]
        case .stating:
            if now - openedAt >= SyncLimits.stateMilliseconds {
                return [.refuse(SyncError(.timeout, "the peer did not say where it stands"))]
            }
        case .active: break
        }
        if let deadline = probeDeadline, now >= deadline {
            return [.refuse(SyncError(.timeout, "the peer did not answer a probe"))]
        }
        if now - lastHeardAt >= SyncLimits.deadMilliseconds {
            return [.refuse(SyncError(.timeout, "the peer was silent for too long"))]
        }
        if now - max(lastHeardAt, lastPingAt) >= pingDelay {
            return [ping(now)]
        }
        return []
    }

    /// The clock jumped: find out now whether the peer is still there.
    package mutating func probe(_ now: Milliseconds) -> [Effect] {
        guard phase == .active || phase == .stating else { return [] }
        lastHeardAt = now
        probeDeadline = now + SyncLimits.probeMilliseconds
        return [ping(now)]
    }

    private mutating func ping(_ now: Milliseconds) -> Effect {
        lastPingAt = now
        pingNumber += 1
        return .send(.ping(pingNumber))
    }
}

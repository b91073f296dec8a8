// Between the sessions and TCP: accepted streams and dials become links once both keys are proved.

internal import Sync
internal import Transport
internal import Trust
internal import Wire

/// One dial: the addresses of a peer, tried a quarter of a second apart, until a member answers.
final class DialAttempt {
    let dial: Dial
    var next = 0
    var running: [Connecting] = []
    var handshakes: [Handshake] = []
    var pending = 0
    var lastReason = "it has no address"
    var timer: Transport.Timer?

    init(_ dial: Dial) { self.dial = dial }

    /// Ends all that is under way.
    func cancel() {
        timer?.cancel()
        for connecting in running { connecting.cancel() }
        for handshake in handshakes { handshake.cancel() }
        running = []
        handshakes = []
    }
}

extension NodeService {
    private static let dialMilliseconds: UInt64 = 5000
    private static let addressGapMilliseconds: UInt64 = 250
    /// A pair of nodes settles on one; more are on their way to their end, or somebody means harm.
    private static let connectionsPerMemberMax = 8

    // MARK: Accepting

    func accept(_ stream: Transport.Stream) {
        guard let place = strangers.enter(Self.host(of: stream)) else { return stream.close() }
        do {
            let handshake = try Handshake(
                stream, secure, role: .server, on: loop,
                mayTalk: { [unowned self] key in
                    mayTalk(key) || invitations[key] != nil || opening != nil
                },
                completion: { [unowned self] in accepted($0, stream, place) })
            strangers.hold(handshake, at: place)
        } catch {
            strangers.leave(place)
            stream.close()
            log.warning("\(error)")
        }
    }

    private func accepted(
        _ result: Result<Handshake.Outcome, any Error>, _ stream: Transport.Stream,
        _ place: Strangers.Place
    ) {
        switch result {
        case .success(let outcome)
        where opening != nil && !mayTalk(outcome.key) && invitations[outcome.key] == nil:
            receive(outcome, at: place)
        case .success(let outcome):
            strangers.leave(place)
            // Removed since the key was looked at?
            guard mayTalk(outcome.key) || invitations[outcome.key] != nil else {
                return stream.close()
            }
            if invitations[outcome.key] != nil { return welcome(outcome) }
            let alike = connections.values.count { $0.node == outcome.key.node }
            guard connections.count < context.configuration.limits.connections,
                alike < Self.connectionsPerMemberMax
            else { return stream.close() }
            attach(outcome, direction: .accepted, address: nil)
        case .failure(let error):
            strangers.leave(place, with: stream)
            guard !isStopping else { return }
            strangers.noteRefusal()
            if strangers.isWorthALine(now) {
                log.warning("refused a connection from \(Self.host(of: stream)): \(error)")
            }
        }
    }

    /// A member's key; or this node's own, which a session tells a copy of this node by.
    func mayTalk(_ key: PublicKey) -> Bool {
        context.members.isMember(key) || key == context.members.own
    }

    private func attach(
        _ outcome: Handshake.Outcome, direction: LinkDirection, address: PeerAddress?
    ) {
        let stream = outcome.stream
        let connection = PeerConnection(stream, outcome.channel, to: outcome.key.node)
        let id = engine.linkOpened(
            connection, direction: direction, address: address ?? Self.address(of: stream),
            authenticated: outcome.key.node, now: now)
        connection.id = id
        connections[id] = connection
        stream.onRead = { [unowned self, unowned connection] bytes in
            read(connection, id) { try connection.feed(bytes) }
        }
        stream.onDrain = { [unowned self] in
            engine.linkWritable(id, now: now)
            pump()
        }
        stream.onClose = { [unowned self] reason in
            connections[id] = nil
            engine.linkClosed(id, reason: reason.description, now: now)
            pump()
        }
        stream.resumeReading()
        if !outcome.plain.isEmpty {
            read(connection, id) { connection.feed(plain: outcome.plain) }
        }
        pump()
    }

    private func read(_ connection: PeerConnection, _ id: LinkID, _ feed: () throws -> Void) {
        do {
            try feed()
            var hasFrame = false
            while connection.isWanted, let frame = try connection.nextFrame() {
                hasFrame = true
                engine.received(id, frame, now: now)
                // A hello that was refused has closed the connection.
                connection.trust()
            }
            if !hasFrame { engine.heard(id, now: now) }
            if connection.hasPeerEnded, connection.isWanted {
                engine.linkClosed(id, reason: "closed by the peer", now: now)
                connection.close()
            }
        } catch let error as TrustError {
            let isUnknown = error.code == .notTrustedThere
            engine.linkClosed(
                id, reason: "\(error)", code: isUnknown ? .unknownKey : nil, now: now)
            connection.close()
        } catch {
            log.warning("a peer broke the framing: \(error)")
            connection.stream.close()
        }
        pump()
    }

    private static func address(of stream: Transport.Stream) -> PeerAddress? {
        guard case .tcp(let host, let port) = stream.peerAddress else { return nil }
        return PeerAddress(host: host, port: port)
    }

    static func host(of stream: Transport.Stream) -> String {
        guard case .tcp(let host, _) = stream.peerAddress else { return "?" }
        return host
    }

    // MARK: Dialling

    func begin(_ dial: Dial) {
        let attempt = DialAttempt(dial)
        dials[dial.id] = attempt
        tryNext(attempt)
    }

    private func isCurrent(_ attempt: DialAttempt) -> Bool { dials[attempt.dial.id] === attempt }

    private func tryNext(_ attempt: DialAttempt) {
        guard isCurrent(attempt) else { return }
        guard attempt.next < attempt.dial.addresses.count else {
            if attempt.pending == 0 { fail(attempt) }
            return
        }
        let address = attempt.dial.addresses[attempt.next]
        attempt.next += 1
        attempt.pending += 1
        let connecting = loop.connect(
            host: address.host, port: address.port, timeout: Self.dialMilliseconds
        ) { [unowned self] result in
            switch result {
            case .success(let stream): shakeHands(attempt, stream, address)
            case .failure(let error): failed(attempt, "\(error)")
            }
        }
        attempt.running.append(connecting)
        attempt.timer?.cancel()
        attempt.timer = loop.schedule(after: Self.addressGapMilliseconds) { [unowned self] in
            if attempt.next < attempt.dial.addresses.count { tryNext(attempt) }
        }
    }

    private func shakeHands(
        _ attempt: DialAttempt, _ stream: Transport.Stream, _ address: PeerAddress
    ) {
        guard isCurrent(attempt) else { return stream.close() }
        do {
            let handshake = try Handshake(
                stream, secure, role: .client, on: loop,
                mayTalk: { [unowned self] in mayTalk($0) },
                completion: { [unowned self] result in
                    switch result {
                    case .success(let outcome): succeed(attempt, outcome, address)
                    case .failure(let error): failed(attempt, "\(error)")
                    }
                })
            attempt.handshakes.append(handshake)
        } catch {
            stream.close()
            failed(attempt, "\(error)")
        }
    }

    private func succeed(
        _ attempt: DialAttempt, _ outcome: Handshake.Outcome, _ address: PeerAddress
    ) {
        guard isCurrent(attempt) else { return outcome.stream.close() }
        if isOfAnother(outcome.key, attempt) {
            return passBy(attempt, outcome, address)
        }
        dials[attempt.dial.id] = nil
        attempt.cancel()
        guard mayTalk(outcome.key) else {
            outcome.stream.close()
            return engine.dialFailed(attempt.dial.id, reason: "it was removed", now: now)
        }
        attach(outcome, direction: .dialed(attempt.dial.id), address: address)
    }

    /// Whether a member answered who was not meant, and whose link would be given up for this one, or
    /// would end a dial that has other addresses.
    private func isOfAnother(_ key: PublicKey, _ attempt: DialAttempt) -> Bool {
        guard let meant = attempt.dial.node, key.node != meant, context.members.isMember(key),
            key != context.members.own
        else { return false }
        return attempt.pending > 1 || attempt.next < attempt.dial.addresses.count
            || connections.values.contains { $0.node == key.node }
    }

    /// The address is that member's now; the dial goes on without it.
    private func passBy(
        _ attempt: DialAttempt, _ outcome: Handshake.Outcome, _ address: PeerAddress
    ) {
        outcome.channel.end()
        _ = outcome.stream.write(outcome.channel.takeOutput())
        outcome.stream.finish(timeout: 1000)
        if let meant = attempt.dial.node {
            engine.updateBook(now) {
                $0.answered(by: outcome.key.node, at: address, insteadOf: meant)
            }
        }
        failed(attempt, "another member answers at \(address)")
        pump()
    }

    /// One address led nowhere, or to somebody else.
    private func failed(_ attempt: DialAttempt, _ reason: String) {
        attempt.pending -= 1
        attempt.lastReason = reason
        attempt.timer?.cancel()
        tryNext(attempt)
    }

    private func fail(_ attempt: DialAttempt) {
        dials[attempt.dial.id] = nil
        attempt.cancel()
        engine.dialFailed(attempt.dial.id, reason: attempt.lastReason, now: now)
        if let node = attempt.dial.node { announcements.lookAgain(node) }
        pump()
    }
}

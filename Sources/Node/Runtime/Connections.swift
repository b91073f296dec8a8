// Between the sessions and TCP: streams become links, dials try addresses, announcements become
// hints.

internal import Discovery
internal import Sync
internal import Transport
internal import Wire

/// One TCP connection as the engine sees it.
final class PeerConnection: Link {
    let stream: Transport.Stream
    private let encoder = FrameEncoder(frameBytesMax: TransportLimits.frameBytesMax)
    private var decoder = FrameDecoder(limits: .beforeHello)
    var id: LinkID?
    /// The engine has not closed it.
    private(set) var isWanted = true

    /// A message with one very large row is queued whole.
    private static let writeQueueBytesMax = 512 << 20

    init(_ stream: Transport.Stream) {
        self.stream = stream
        stream.writeQueueBytesMax = Self.writeQueueBytesMax
    }

    var queuedBytes: Int { stream.queuedBytes }

    func send(_ frame: [UInt8]) { _ = stream.write(encoder.encode(FrameChecksum.close(frame))) }

    func close() {
        isWanted = false
        stream.finish(timeout: 2000)
    }

    func feed(_ bytes: RawSpan) { decoder.feed(bytes) }

    /// The next whole frame that has come in; nil until more bytes come.
    func nextFrame() throws -> [UInt8]? { try decoder.next().map { try FrameChecksum.open($0) } }

    /// The peer has said who it is, and may send more at once.
    func trust() { decoder.limits = .afterHello }
}

/// One dial: the addresses of a peer, tried a quarter of a second apart.
final class DialAttempt {
    let dial: Dial
    var next = 0
    var running: [Connecting] = []
    var pending = 0
    var lastReason = "it has no address"
    var timer: Transport.Timer?

    init(_ dial: Dial) { self.dial = dial }
}

extension NodeService {
    private static let dialMilliseconds: UInt64 = 5000
    private static let addressGapMilliseconds: UInt64 = 250

    // MARK: Accepting

    func accept(_ stream: Transport.Stream) {
        guard connections.count < context.configuration.limits.connections else {
            stream.close()
            return
        }
        attach(stream, direction: .accepted, address: nil)
    }

    private func attach(
        _ stream: Transport.Stream, direction: LinkDirection, address: PeerAddress?
    ) {
        let connection = PeerConnection(stream)
        let id = engine.linkOpened(
            connection, direction: direction, address: address ?? Self.address(of: stream), now: now
        )
        connection.id = id
        connections[id] = connection
        stream.onRead = { [unowned self, unowned connection] bytes in
            read(bytes, connection, id)
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
        pump()
    }

    private func read(_ bytes: RawSpan, _ connection: PeerConnection, _ id: LinkID) {
        connection.feed(bytes)
        do {
            var hasFrame = false
            while connection.isWanted, let frame = try connection.nextFrame() {
                hasFrame = true
                engine.received(id, frame, now: now)
                // A hello that was refused has closed the connection.
                connection.trust()
            }
            if !hasFrame { engine.heard(id, now: now) }
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

    // MARK: Dialling

    func begin(_ dial: Dial) {
        let attempt = DialAttempt(dial)
        dials[dial.id] = attempt
        tryNext(attempt)
    }

    private func tryNext(_ attempt: DialAttempt) {
        guard dials[attempt.dial.id] === attempt else { return }
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
            attempt.pending -= 1
            switch result {
            case .success(let stream): succeed(attempt, stream, address)
            case .failure(let error):
                attempt.lastReason = "\(error)"
                attempt.timer?.cancel()
                tryNext(attempt)
            }
        }
        attempt.running.append(connecting)
        attempt.timer?.cancel()
        attempt.timer = loop.schedule(after: Self.addressGapMilliseconds) { [unowned self] in
            if attempt.next < attempt.dial.addresses.count { tryNext(attempt) }
        }
    }

    private func succeed(
        _ attempt: DialAttempt, _ stream: Transport.Stream, _ address: PeerAddress
    ) {
        guard dials.removeValue(forKey: attempt.dial.id) != nil else {
            stream.close()
            return
        }
        attempt.timer?.cancel()
        for other in attempt.running { other.cancel() }
        attach(stream, direction: .dialed(attempt.dial.id), address: address)
    }

    private func fail(_ attempt: DialAttempt) {
        dials[attempt.dial.id] = nil
        attempt.timer?.cancel()
        engine.dialFailed(attempt.dial.id, reason: attempt.lastReason, now: now)
        if let node = attempt.dial.node { discovery?.resolve(String(node.prefix(16))) }
        pump()
    }

    // MARK: Discovery

    func startDiscovery() {
        guard options.discovery ?? context.configuration.discovery else { return }
        let mailbox = loop.mailbox
        let boxed = LoopBound(self, on: loop)
        do {
            let announcement = try ServiceAnnouncement(
                instanceName: String(context.identity.node.prefix(16)),
                port: listener?.address.port ?? 0,
                txt: [
                    "node": context.identity.node, "group": context.identity.group, "proto": "1",
                ])
            let service = DiscoveryService(announcement: announcement) { event in
                mailbox.post { _ in boxed.value.discovered(event) }
            }
            try service.start()
            discovery = service
        } catch {
            discoveryProblem = ProblemFact(code: "discovery", message: "\(error)")
            log.warning("\(error)")
        }
    }

    private func discovered(_ event: DiscoveryEvent) {
        switch event {
        case .appeared(let peer):
            guard peer.txt["group"] == context.identity.group, let node = peer.txt["node"],
                node != context.identity.node
            else { return }
            let addresses = peer.addresses.map { PeerAddress(host: $0, port: peer.port) }
            engine.updateBook(now) {
                $0.discovered(node: node, name: "", addresses: addresses, now: self.now)
            }
        case .disappeared(let instance):
            let lost = engine.book.remembered.first { $0.node.hasPrefix(instance) }
            if let lost { engine.updateBook(now) { $0.lost(node: lost.node) } }
        case .stateChanged(let state):
            switch state {
            case .unavailable(let reason), .conflict(let reason):
                if discoveryProblem?.message != reason { log.warning(reason) }
                discoveryProblem = ProblemFact(code: "discovery", message: reason)
            case .running, .stopped: discoveryProblem = nil
            case .starting: break
            }
        }
        pump()
    }

    /// Instances of known peers that are not connected: looked up again now and then.
    var unreachedInstances: [String] {
        engine.peersStatus(now).compactMap { status in
            status.state == .connected ? nil : status.node.map { String($0.prefix(16)) }
        }
    }
}

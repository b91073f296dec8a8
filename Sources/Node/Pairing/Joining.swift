// The joining side of pairing: finds the inviter, proves the secret, shows its own key, and is told
// what group it is in.

internal import Discovery
internal import Sync
internal import Transport
internal import Trust

/// One attempt to join, on an event loop of its own.
final class Joining {
    /// The addresses of the invitation and of discovery are tried for this long.
    static let milliseconds: UInt64 = 20_000
    private static let connectMilliseconds: UInt64 = 4000
    private static let retryMilliseconds: UInt64 = 1000
    /// Anybody on the network can announce what the inviter does, at any number of addresses.
    private static let addressesMax = 64

    private let invitation: Invitation
    private let key: NodeKey
    private let names: PairingNames
    private let say: (String) -> Void
    private let loop: EventLoop
    private let secure: SecureContext
    private let oneTime: PublicKey
    private var discovery: DiscoveryService?
    private var known: Set<HostPort> = []
    private var busy: Set<HostPort> = []
    private var handshakes: [HostPort: Handshake] = [:]
    private var reasons: [(address: HostPort, reason: String)] = []
    private var guest: (stream: Transport.Stream, channel: SecureChannel, address: HostPort)?
    private var lines = ControlLines(lineBytesMax: PairingRequest.lineBytesMax)
    private var result: Result<(PairingAnswer, HostPort), any Error>?

    init(
        _ invitation: Invitation, key: NodeKey, names: PairingNames,
        say: @escaping (String) -> Void
    ) throws {
        self.invitation = invitation
        self.key = key
        self.names = names
        self.say = say
        loop = try EventLoop()
        let oneTimeKey = try invitation.oneTimeKey()
        oneTime = oneTimeKey.publicKey
        secure = try SecureContext(key: oneTimeKey)
    }

    /// Blocks until it is a member, or cannot be.
    ///
    /// - Parameter first: addresses to try before those of the invitation.
    /// - Returns: the answer, and the address at which the inviter was reached.
    func run(first: [HostPort], looksAround: Bool) throws -> (PairingAnswer, HostPort) {
        defer {
            discovery?.stop()
            _ = loop.close()
        }
        if looksAround { startDiscovery() }
        say("Looking for \(invitation.name) …")
        _ = loop.schedule(after: Self.milliseconds) { [unowned self] in
            end(.failure(unreachable))
        }
        let addresses = first.isEmpty ? invitation.addresses : first
        for address in addresses { reach(address) }
        loop.run()
        guard let result else { throw unreachable }
        return try result.get()
    }

    private func startDiscovery() {
        let mailbox = loop.mailbox
        let boxed = LoopBound(self, on: loop)
        let service = DiscoveryService(announcement: nil) { event in
            mailbox.post { _ in boxed.value.discovered(event) }
        }
        // Without a daemon the addresses of the invitation are left.
        do { try service.start() } catch { return }
        discovery = service
    }

    private func discovered(_ event: DiscoveryEvent) {
        guard case .appeared(let peer) = event,
            Announcements.isInvited(by: peer, oneTime)
        else { return }
        for host in peer.addresses { reach(HostPort(host: host, port: peer.port)) }
    }

    private func reach(_ address: HostPort) {
        guard result == nil, guest == nil,
            known.contains(address) || known.count < Self.addressesMax,
            busy.insert(address).inserted
        else { return }
        known.insert(address)
        _ = loop.connect(
            host: address.host, port: address.port, timeout: Self.connectMilliseconds
        ) { [unowned self] outcome in
            switch outcome {
            case .success(let stream): shakeHands(stream, address)
            case .failure(let error): failed(address, "\(error)")
            }
        }
    }

    private func failed(_ address: HostPort, _ reason: String) {
        guard result == nil else { return }
        if !reasons.contains(where: { $0.address == address }) { reasons.append((address, reason)) }
        _ = loop.schedule(after: Self.retryMilliseconds) { [unowned self] in
            busy.remove(address)
            reach(address)
        }
    }

    private func shakeHands(_ stream: Transport.Stream, _ address: HostPort) {
        guard result == nil, guest == nil else { return stream.close() }
        do {
            handshakes[address] = try Handshake(
                stream, secure, role: .client, on: loop,
                mayTalk: { [invitation] in $0 == invitation.inviter },
                completion: { [unowned self] outcome in
                    handshakes[address] = nil
                    switch outcome {
                    case .success(let outcome): ask(outcome, address)
                    case .failure(let error):
                        let isOther = (error as? TrustError)?.code == .notTrusted
                        failed(address, isOther ? "another node answers there" : "\(error)")
                    }
                })
        } catch {
            stream.close()
            failed(address, "\(error)")
        }
    }

    private func ask(_ outcome: Handshake.Outcome, _ address: HostPort) {
        guard result == nil, guest == nil else { return outcome.stream.close() }
        say("Found \(invitation.name) at \(address); it has the key that the invitation names.")
        guest = (outcome.stream, outcome.channel, address)
        outcome.stream.onRead = { [unowned self] in heard([UInt8](copying: $0)) }
        outcome.stream.onClose = { [unowned self] reason in
            end(
                .failure(
                    NodeError(
                        .failed,
                        "\(invitation.name) ended the exchange (\(reason)): try the same line again"
                    ))
            )
        }
        outcome.stream.resumeReading()
        do {
            let request = try PairingRequest(
                key: key, names: names, inviter: invitation.inviter, oneTime: oneTime)
            try outcome.channel.send(request.line)
            _ = outcome.stream.write(outcome.channel.takeOutput())
        } catch { end(.failure(error)) }
    }

    private func heard(_ bytes: [UInt8]) {
        guard let guest else { return }
        do {
            lines.append(try guest.channel.receive(bytes))
            guard let line = try lines.next() else { return }
            switch try ControlReply(line: line) {
            case .result(let value):
                guard let answer = PairingAnswer(value) else {
                    throw NodeError(.failed, "the two machines have different versions of starling")
                }
                end(.success((answer, guest.address)))
            case .error(let error): throw error
            case .event: break
            }
        } catch let error as TrustError {
            // TLS 1.3 refuses a client only after the client is content.
            let isUnknown = error.code == .notTrustedThere
            end(
                .failure(
                    NodeError(
                        .refused,
                        isUnknown
                            ? "\(invitation.name) does not know this invitation: it is an old one, or "
                                + "that node was made anew; run `starling invite` there again"
                            : "the exchange with \(invitation.name) failed: \(error)")))
        } catch { end(.failure(error)) }
    }

    private func end(_ outcome: Result<(PairingAnswer, HostPort), any Error>) {
        guard result == nil else { return }
        result = outcome
        if let guest {
            guest.channel.end()
            _ = guest.stream.write(guest.channel.takeOutput())
            guest.stream.onClose = nil
            guest.stream.finish(timeout: 500)
        }
        loop.stop()
    }

    private var unreachable: NodeError {
        let tried = reasons.map { "\($0.address): \($0.reason)" }
        let isOver = Int64(invitation.expiresSeconds) * 1000 < WallClock.milliseconds()
        let what = guest == nil ? "was not found" : "was found, and did not answer"
        return NodeError(
            .timeout,
            "\(invitation.name) \(what)"
                + (tried.isEmpty ? "" : " (\(tried.joined(separator: "; ")))")
                + ": check that its node runs and that both machines are on one network, or name its "
                + "address with --peer HOST:PORT"
                + (isOver ? ". By this machine's clock the invitation has expired, too" : ""))
    }
}

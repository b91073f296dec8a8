// The joining side of pairing: finds the inviter, proves the secret or compares a code, shows its own key,
// and is told what group it is in.

internal import Discovery
internal import Sync
internal import Transport
internal import Trust

/// What became of it.
struct Pairing {
    var answer: PairingAnswer
    /// Where the inviter was reached.
    var address: HostPort
    /// The inviter's key, as the invitation names it or two people compared it.
    var inviter: PublicKey
}

/// One attempt to join, on an event loop of its own.
final class Joining {
    /// The addresses of the invitation and of discovery are tried for this long.
    private static let milliseconds: UInt64 = 20_000
    /// Somebody may still be on the way to the other machine, to open it.
    private static let openMilliseconds: UInt64 = 60_000
    private static let connectMilliseconds: UInt64 = 4000
    private static let retryMilliseconds: UInt64 = 1000
    /// Anybody on the network can announce what the inviter does, at any number of addresses.
    private static let addressesMax = 64

    /// nil to ask whoever is open to be asked, with a code.
    let invitation: Invitation?
    private let key: NodeKey
    private let names: PairingNames
    private let group: String?
    let say: (JoinStep) -> Void
    let loop: EventLoop
    private let secure: SecureContext
    private let oneTime: PublicKey
    private var discovery: DiscoveryService?
    /// Addresses of those that are open to be asked, by the name of their announcement.
    var open: [String: [HostPort]] = [:]
    var gathering: Transport.Timer?
    private var known: Set<HostPort> = []
    private var busy: Set<HostPort> = []
    private var handshakes: [HostPort: Handshake] = [:]
    private var reasons: [(address: HostPort, reason: String)] = []
    private(set) var guest: (outcome: Handshake.Outcome, address: HostPort)?
    private var lines = ControlLines(lineBytesMax: PairingRequest.lineBytesMax)
    /// Of one that asks with a code.
    var exchange: JoiningCode?
    private var timer: Transport.Timer?
    private(set) var result: Result<Pairing, any Error>?

    init(
        _ invitation: Invitation?, key: NodeKey, names: PairingNames, group: String? = nil,
        say: @escaping (JoinStep) -> Void
    ) throws {
        self.invitation = invitation
        self.key = key
        self.names = names
        self.group = group
        self.say = say
        loop = try EventLoop()
        // Without an invitation it is a key for this one attempt: who is asked learns the node's own key
        // with the request, and an eavesdropper never.
        let oneTimeKey = try invitation?.oneTimeKey() ?? NodeKey()
        oneTime = oneTimeKey.publicKey
        secure = try SecureContext(key: oneTimeKey)
    }

    /// Blocks until it is a member, or cannot be.
    ///
    /// - Parameter first: addresses to try in place of those of the invitation, or of any announcement.
    func run(first: [HostPort], looksAround: Bool) throws -> Pairing {
        defer {
            discovery?.stop()
            _ = loop.close()
        }
        // Of two who may be asked, the one that was named is meant.
        if looksAround, invitation != nil || first.isEmpty { startDiscovery() }
        say(
            .words(
                invitation.map { "Looking for \($0.name) …" }
                    ?? "Looking for a machine on which `starling invite --nearby` runs …"))
        limit(to: invitation == nil ? Self.openMilliseconds : Self.milliseconds)
        let addresses = first.isEmpty ? invitation?.addresses ?? [] : first
        for address in addresses { reach(address) }
        loop.run()
        guard let result else { throw unreachable }
        return try result.get()
    }

    /// It is over when nothing has come of it in this time from now.
    func limit(to milliseconds: UInt64) {
        timer?.cancel()
        timer = loop.schedule(after: milliseconds) { [unowned self] in end(.failure(unreachable)) }
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
        guard invitation != nil else { return foundSomebody(event) }
        guard case .appeared(let peer) = event, Announcements.isInvited(by: peer, oneTime) else {
            return
        }
        for host in peer.addresses { reach(HostPort(host: host, port: peer.port)) }
    }

    func reach(_ address: HostPort) {
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
                mayTalk: { [invitation, oneTime, key] found in
                    invitation.map { found == $0.inviter }
                        ?? (found != oneTime && found != key.publicKey)
                },
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
        say(
            .words(
                invitation.map {
                    "Found \($0.name) at \(address); it has the key that the invitation names."
                } ?? "Found one at \(address)."))
        guest = (outcome, address)
        outcome.stream.onRead = { [unowned self] in heard([UInt8](copying: $0)) }
        outcome.stream.onClose = { [unowned self] reason in
            end(.failure(NodeError(.failed, endedWords("\(reason)"))))
        }
        outcome.stream.resumeReading()
        do {
            let request = try PairingRequest(
                key: key, names: names, group: group, inviter: outcome.key, oneTime: oneTime)
            if invitation == nil {
                let transcript = CodeTranscript(
                    inviter: outcome.key, channelKey: oneTime, newcomer: key.publicKey,
                    binding: try outcome.channel.binding())
                exchange = JoiningCode(transcript, nonce: CodeTranscript.newNonce())
            }
            try send(request.line)
        } catch { end(.failure(error)) }
        if !outcome.plain.isEmpty { heard(plain: outcome.plain) }
    }

    func send(_ line: [UInt8]) throws {
        guard let outcome = guest?.outcome else { return }
        try outcome.channel.send(line)
        _ = outcome.stream.write(outcome.channel.takeOutput())
    }

    private func heard(_ bytes: [UInt8]) {
        guard let guest, result == nil else { return }
        do { heard(plain: try guest.outcome.channel.receive(bytes)) } catch {
            // TLS 1.3 refuses a client only after the client is content.
            let isUnknown = error.code == .notTrustedThere
            let words = isUnknown ? unknownWords : "the exchange with \(who) failed: \(error)"
            end(.failure(NodeError(.refused, words)))
        }
    }

    private func heard(plain: [UInt8]) {
        do {
            lines.append(plain)
            while result == nil, let line = try lines.next() {
                switch try ControlReply(line: line) {
                case .result(let value): try settle(PairingAnswer(value))
                case .error(let error): throw error
                case .event(let event): try step(event)
                }
            }
        } catch { end(.failure(error)) }
    }

    private func settle(_ answer: PairingAnswer?) throws {
        guard let answer, let guest else {
            throw NodeError(.failed, "the two machines have different versions of starling")
        }
        // Nobody is let in before there was something to compare.
        guard invitation != nil || exchange?.code != nil else { throw CodeMessage.unexpected }
        end(
            .success(
                Pairing(answer: answer, address: guest.address, inviter: guest.outcome.key)))
    }

    func end(_ outcome: Result<Pairing, any Error>) {
        guard result == nil else { return }
        result = outcome
        if let (outcome, _) = guest {
            outcome.channel.end()
            _ = outcome.stream.write(outcome.channel.takeOutput())
            outcome.stream.onClose = nil
            outcome.stream.finish(timeout: 500)
        }
        loop.stop()
    }

    private var unreachable: NodeError {
        let tried = reasons.map { "\($0.address): \($0.reason)" }
        let what = guest == nil ? "was not found" : "was found, and did not answer"
        return NodeError(
            .timeout,
            "\(who) \(what)" + (tried.isEmpty ? "" : " (\(tried.joined(separator: "; ")))") + remedy
        )
    }
}

// Somebody between a newcomer and the machine that it asks: TLS on both sides, with keys of its own, and
// the exchange of codes as well as it can be played.

import Testing

@testable import Node
@testable import Sync
@testable import Transport
@testable import Trust

final class Middleman {
    enum Way {
        /// Its own exchange with each of the two.
        case ownNonces
        /// What one side says is carried to the other as it is.
        case verbatim
        /// It says yes to the newcomer before there is any code.
        case yesAtOnce
    }

    let loop: EventLoop
    private let way: Way
    private let far: HostPort
    private let channelKey: NodeKey
    private let ownKey: NodeKey
    private var listener: Listener?
    private var handshakes: [Handshake] = []
    private var newcomer: Handshake.Outcome?
    private var inviter: Handshake.Outcome?
    private var linesOfNewcomer = ControlLines(lineBytesMax: 1 << 16)
    private var linesOfInviter = ControlLines(lineBytesMax: 1 << 16)
    private var asInviter: InvitingCode?
    private var asNewcomer: JoiningCode?
    /// What the inviter said at last.
    private(set) var answer: ControlReply?
    private(set) var problem: (any Error)?

    /// What stands on the two screens, as far as the middle knows.
    var codes: (newcomer: String?, inviter: String?) { (asInviter?.code, asNewcomer?.code) }

    init(_ way: Way, before far: HostPort) throws {
        self.way = way
        self.far = far
        loop = try EventLoop()
        ownKey = try NodeKey()
        channelKey = try NodeKey()
    }

    deinit { _ = loop.close() }

    /// Where newcomers find it.
    func listen(_ host: String) throws -> String {
        let context = try SecureContext(key: ownKey)
        let listener = try loop.listen(host: host, port: 0) { [unowned self] stream in
            attempt {
                handshakes.append(
                    try Handshake(stream, context, role: .server, on: loop, mayTalk: { _ in true })
                    {
                        self.met($0, \.newcomer)
                    })
            }
        }
        self.listener = listener
        return listener.address.description
    }

    /// Runs until `isDone`, or for half a minute.
    func run(until isDone: @escaping () -> Bool) {
        let ticks = loop.schedule(after: 20, repeating: 20) { [unowned self] in
            if isDone() || problem != nil { loop.stop() }
        }
        let end = loop.schedule(after: 30_000) { [unowned self] in loop.stop() }
        loop.run()
        ticks.cancel()
        end.cancel()
    }

    private func attempt(_ body: () throws -> Void) {
        do { try body() } catch { problem = error }
    }

    private func met(
        _ result: Result<Handshake.Outcome, any Error>,
        _ place: ReferenceWritableKeyPath<Middleman, Handshake.Outcome?>
    ) {
        attempt {
            let outcome = try result.get()
            self[keyPath: place] = outcome
            let isNewcomer = place == \.newcomer
            outcome.stream.onRead = { [unowned self] bytes in
                let bytes = [UInt8](copying: bytes)
                attempt {
                    let plain = try outcome.channel.receive(bytes)
                    if isNewcomer { try hearNewcomer(plain) } else { try hearInviter(plain) }
                }
            }
            outcome.stream.onClose = { _ in }
            outcome.stream.resumeReading()
            if isNewcomer {
                if !outcome.plain.isEmpty { try hearNewcomer(outcome.plain) }
            } else {
                try ask(outcome)
                if !outcome.plain.isEmpty { try hearInviter(outcome.plain) }
            }
        }
    }

    private func send(_ line: [UInt8], to outcome: Handshake.Outcome?) throws {
        guard let outcome, outcome.stream.isOpen else { return }
        try outcome.channel.send(line)
        _ = outcome.stream.write(outcome.channel.takeOutput())
    }

    // MARK: The newcomer's side

    private func hearNewcomer(_ plain: [UInt8]) throws {
        linesOfNewcomer.append(plain)
        while let line = try linesOfNewcomer.next() {
            guard let message = CodeMessage(line: line) else {
                // Its request: the key in it can be read by whoever it asks.
                let newcomer = try #require(self.newcomer)
                let request = try PairingRequest(
                    line: line, inviter: ownKey.publicKey, oneTime: newcomer.key)
                if way == .yesAtOnce {
                    return try pretend(group: String(repeating: "5d", count: 16))
                }
                if way == .ownNonces {
                    let transcript = CodeTranscript(
                        inviter: ownKey.publicKey, channelKey: newcomer.key, newcomer: request.key,
                        binding: try newcomer.channel.binding())
                    asInviter = InvitingCode(transcript, nonce: CodeTranscript.newNonce())
                    let commitment = try #require(asInviter).commitment
                    try send(ControlReply.event(commitment.json).line, to: newcomer)
                }
                dial()
                continue
            }
            if way == .verbatim {
                try send(line + [0x0a], to: inviter)
            } else if let reveal = try asInviter?.received(message) {
                try send(ControlReply.event(reveal.json).line, to: newcomer)
            }
        }
    }

    /// Says to the newcomer that it is a member, whoever said what.
    func pretend(group: String) throws {
        let answer = PairingAnswer(group: group, name: "van", role: .writer, inviter: "ann")
        try send(ControlReply.result(answer.json).line, to: newcomer)
    }

    // MARK: The inviter's side

    private func dial() {
        _ = loop.connect(host: far.host, port: far.port, timeout: 5000) { [unowned self] result in
            attempt {
                let context = try SecureContext(key: channelKey)
                handshakes.append(
                    try Handshake(
                        try result.get(), context, role: .client, on: loop, mayTalk: { _ in true }
                    ) { self.met($0, \.inviter) })
            }
        }
    }

    private func ask(_ outcome: Handshake.Outcome) throws {
        let request = try PairingRequest(
            key: ownKey, names: PairingNames(wanted: "van", machine: "van"), inviter: outcome.key,
            oneTime: channelKey.publicKey)
        if way == .ownNonces {
            let transcript = CodeTranscript(
                inviter: outcome.key, channelKey: channelKey.publicKey,
                newcomer: ownKey.publicKey, binding: try outcome.channel.binding())
            asNewcomer = JoiningCode(transcript, nonce: CodeTranscript.newNonce())
        }
        try send(request.line, to: outcome)
    }

    private func hearInviter(_ plain: [UInt8]) throws {
        linesOfInviter.append(plain)
        while let line = try linesOfInviter.next() {
            guard case .event(let event) = try ControlReply(line: line) else {
                answer = try ControlReply(line: line)
                continue
            }
            if way == .verbatim {
                try send(line + [0x0a], to: newcomer)
            } else if let answer = try asNewcomer?.received(CodeMessage(event)) {
                try send(answer.json.encoded + [0x0a], to: inviter)
            }
        }
    }
}

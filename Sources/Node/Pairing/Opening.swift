// `invite --nearby`: for a while anybody on the network may ask, and a person compares codes. What a person
// confirms becomes an invitation for the one key that asked, and goes the way of every invitation.

internal import Sync
internal import Transport
internal import Trust

/// That a person at this machine waits for somebody who asks.
final class Opening {
    /// What the newcomer is to be called; nil leaves it to the newcomer.
    let name: String?
    let role: Membership.Role
    /// Unix time.
    let expiresMilliseconds: Int64
    /// To the command that waits.
    let tell: (ControlReply) -> Void
    var timer: Transport.Timer?
    /// Whose code is on the screen.
    var asker: Guest?
    /// Codes that may still be shown: who stands between two machines gets one guess with each.
    var codesLeft = 3

    init(
        name: String?, role: Membership.Role, expiresMilliseconds: Int64,
        tell: @escaping (ControlReply) -> Void
    ) {
        self.name = name
        self.role = role
        self.expiresMilliseconds = expiresMilliseconds
        self.tell = tell
    }
}

extension NodeService {
    /// How long a person may look at two screens.
    private static let compareMilliseconds: Int64 = 120_000

    /// `invite` with `nearby`: answered when somebody was let in, or nobody will be.
    func open(_ arguments: JSONObject, tell: @escaping (ControlReply) -> Void) throws {
        let (port, lifetime, role) = try wishes(arguments)
        guard opening == nil else {
            throw NodeError(
                .refused,
                "`starling invite --nearby` runs here already: answer there, or end it with Ctrl-C")
        }
        let name = try arguments["name"]?.string.map(Identity.checkedName)
        let expires = WallClock.milliseconds() + lifetime
        let opening = Opening(
            name: name, role: role, expiresMilliseconds: expires, tell: tell)
        opening.timer = loop.schedule(after: UInt64(lifetime)) { [unowned self] in
            endOpening(
                ControlError(.timeout, "nobody was let in in this time: run it again for another"))
        }
        self.opening = opening
        // So that newcomers find this node.
        restartDiscovery()
        log.info("asks from nearby are open")
        let addresses = invitationAddresses(port).map { JSONValue.string($0.description) }
        tell(
            .event([
                "open": [
                    "expires_ms": .int(expires), "addresses": .array(addresses),
                    "role": .string(role.rawValue), "name": JSONValue(optional: name),
                ]
            ]))
    }

    /// Nobody may ask any more.
    ///
    /// - Parameter error: what the waiting command is told; nil when it is gone.
    func endOpening(_ error: ControlError?) {
        guard let opening else { return }
        self.opening = nil
        opening.timer?.cancel()
        if let asker = opening.asker {
            opening.asker = nil
            strangers.noteRefusal()
            let isLate = error?.code == NodeError.Code.timeout.rawValue
            asker.answer(.error(isLate ? Self.unanswered : Self.closed))
        }
        if let error { opening.tell(.error(error)) }
        guard !isStopping else { return }
        log.info("asks from nearby are closed")
        restartDiscovery()
    }

    private static let closed = ControlError(
        .refused,
        "nobody waits at the other machine any more: run `starling invite --nearby` there again")
    private static let busy = ControlError(
        .refused,
        "the other machine is busy: it shows the code of somebody else. Wait until that is answered "
            + "there, and try again")
    private static let unanswered = ControlError(
        .timeout,
        "nobody answered at the other machine in time: run `starling invite --nearby` there, and this "
            + "again")
    private static let denied = ControlError(
        .refused,
        "the person at the other machine said no. If the codes differed, somebody may stand between "
            + "the two machines: use a line of `starling invite`")

    // MARK: Who asks

    /// A connection that proved some key while asking is open. It keeps a stranger's place.
    func receive(_ outcome: Handshake.Outcome, at place: Strangers.Place) {
        strangers.hold(outcome.stream, at: place)
        listen(to: Guest(outcome, askingAt: place), outcome.plain)
    }

    func hearAsker(_ guest: Guest) {
        do {
            while !guest.isAnswered, let line = try guest.lines.next() { try take(line, of: guest) }
        } catch {
            let answer = ControlError.of(error)
            if opening?.asker === guest { return dismiss(guest, answer, "gone") }
            strangers.noteRefusal()
            guest.answer(.error(answer))
        }
    }

    private func take(_ line: [UInt8], of guest: Guest) throws {
        guard let opening else { throw Self.closed }
        // A second code on the screen would be one that a person could take for the first.
        guard opening.asker == nil else { throw opening.asker === guest ? Self.denied : Self.busy }
        let own = context.members.own
        guard var exchange = guest.exchange else {
            let request = try PairingRequest(line: line, inviter: own, oneTime: guest.oneTime)
            let transcript = CodeTranscript(
                inviter: own, channelKey: guest.oneTime, newcomer: request.key,
                binding: try guest.channel.binding())
            let exchange = InvitingCode(transcript, nonce: CodeTranscript.newNonce())
            guest.request = (line, request.key, request.names)
            guest.exchange = exchange
            return try guest.say(exchange.commitment)
        }
        let reveal = try exchange.received(CodeMessage(line: line))
        guest.exchange = exchange
        // On this screen first: nobody learns a code that no person here can see.
        show(guest, opening)
        try guest.say(reveal)
    }

    private func show(_ guest: Guest, _ opening: Opening) {
        opening.asker = guest
        opening.codesLeft -= 1
        if let place = guest.place { strangers.leave(place) }
        guest.place = nil
        let wall = WallClock.milliseconds()
        let deadline = min(wall + Self.compareMilliseconds, opening.expiresMilliseconds)
        guest.timer?.cancel()
        guest.timer = loop.schedule(after: UInt64(max(1, deadline - wall))) { [unowned self] in
            dismiss(guest, Self.unanswered, "timeout")
        }
        let names = guest.request?.names
        opening.tell(
            .event([
                "asker": [
                    "code": .string(guest.exchange?.code ?? ""),
                    "name": .string(names.map { $0.wanted ?? $0.machine } ?? ""),
                    "address": .string(Self.host(of: guest.stream)), "expires_ms": .int(deadline),
                ]
            ]))
    }

    /// Whoever asked has closed its connection, or it was closed.
    func askerLeft(_ guest: Guest) {
        if let place = guest.place { strangers.leave(place) }
        if !guest.isAnswered {
            strangers.noteRefusal()
            if opening?.asker === guest { forgetAsker("gone") }
        }
    }

    private func dismiss(_ guest: Guest, _ answer: ControlError, _ reason: String) {
        strangers.noteRefusal()
        guest.answer(.error(answer))
        forgetAsker(reason)
    }

    /// The next one may ask, as long as there are not too many.
    private func forgetAsker(_ reason: String) {
        guard let opening, let asker = opening.asker else { return }
        opening.asker = nil
        opening.tell(
            .event([
                "asker_left": [
                    "code": .string(asker.exchange?.code ?? ""), "reason": .string(reason),
                    "left": .int(Int64(opening.codesLeft)),
                ]
            ]))
        guard opening.codesLeft <= 0 else { return }
        endOpening(
            ControlError(
                .refused,
                "three codes were shown and none was confirmed, so nobody may ask any more. If these were "
                    + "not your machines, somebody on this network tries to get in: use `starling invite`"
            ))
    }

    // MARK: The person's answer

    private var shown: (opening: Opening, asker: Guest, code: String) {
        get throws {
            guard let opening, let asker = opening.asker, let code = asker.exchange?.code else {
                throw NodeError(
                    .notFound,
                    opening == nil
                        ? "nobody may ask just now: run `starling invite --nearby`"
                        : "nobody asks just now: run `starling join` on the other machine")
            }
            return (opening, asker, code)
        }
    }

    /// `invite` with `confirm`: the code that the other screen shows.
    func confirm(_ text: String) throws -> JSONValue {
        let (opening, asker, code) = try shown
        guard let line = asker.request?.line, CodeTranscript.read(text) == code else {
            dismiss(asker, Self.denied, "denied")
            throw NodeError(
                .refused,
                "this is not the code that is shown here, so nobody was let in: if it is the one on the "
                    + "other screen, somebody may stand between the two machines; use `starling invite`"
            )
        }
        let given = GivenInvitation(
            key: asker.oneTime, name: opening.name, role: opening.role,
            expiresMilliseconds: opening.expiresMilliseconds)
        do {
            try invitations.add(given, now: WallClock.milliseconds())
            let answer = try letIn(asker, line)
            let result = admitted(asker, answer)
            asker.answer(.result(answer.json))
            opening.asker = nil
            opening.tell(.result(result))
            endOpening(nil)
            return result
        } catch {
            _ = try? invitations.revoke(given.id, now: WallClock.milliseconds())
            dismiss(asker, ControlError.of(error), "failed")
            throw error
        }
    }

    private func admitted(_ asker: Guest, _ answer: PairingAnswer) -> JSONValue {
        let key = asker.request?.key
        return [
            "name": .string(answer.name), "node": JSONValue(optional: key?.node),
            "role": .string(answer.role.rawValue),
            "fingerprint": JSONValue(optional: key?.fingerprint),
        ]
    }

    /// `invite` with `deny`.
    func deny() throws -> JSONValue {
        let (_, asker, code) = try shown
        dismiss(asker, Self.denied, "denied")
        return ["denied": .string(code)]
    }
}

extension CodeTranscript {
    /// From the system's generator.
    static func newNonce() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<nonceBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
}

// The inviting side of pairing: whoever proved the secret of an open invitation becomes a member, and who
// asked with a code that a person confirmed.

internal import Sync
internal import Transport
internal import Trust

/// A newcomer whose request is awaited.
final class Guest {
    let stream: Transport.Stream
    let channel: SecureChannel
    let oneTime: PublicKey
    var lines = ControlLines(lineBytesMax: PairingRequest.lineBytesMax)
    var timer: Transport.Timer?
    /// Of one that asks with a code: its place among strangers, until its code is shown.
    var place: Strangers.Place?
    let isAsking: Bool
    /// Its request, as it came.
    var request: (line: [UInt8], key: PublicKey, names: PairingNames)?
    var exchange: InvitingCode?
    /// It has its answer.
    private(set) var isAnswered = false

    init(_ outcome: Handshake.Outcome, askingAt place: Strangers.Place? = nil) {
        self.place = place
        isAsking = place != nil
        stream = outcome.stream
        channel = outcome.channel
        oneTime = outcome.key
    }

    /// Answers, and ends.
    func answer(_ reply: ControlReply) {
        isAnswered = true
        timer?.cancel()
        guard stream.isOpen else { return }
        do { try channel.send(reply.line) } catch { return stream.close() }
        channel.end()
        _ = stream.write(channel.takeOutput())
        stream.finish(timeout: 2000)
    }

    /// Says something, and goes on.
    func say(_ message: CodeMessage) throws(TrustError) {
        try channel.send(ControlReply.event(message.json).line)
        _ = stream.write(channel.takeOutput())
    }
}

extension NodeService {
    private static let guestsMax = 64
    /// So that who keeps an old invitation keeps nobody else from coming.
    private static let guestsPerInvitationMax = 4
    private static let guestMilliseconds: UInt64 = 5000

    /// A connection that proved the secret of an invitation, open or not.
    func welcome(_ outcome: Handshake.Outcome) {
        let alike = guests.values.count { $0.oneTime == outcome.key }
        guard guests.count < Self.guestsMax, alike < Self.guestsPerInvitationMax else {
            return outcome.stream.close()
        }
        listen(to: Guest(outcome), outcome.plain)
    }

    /// Gives a guest a few seconds to say what it wants.
    func listen(to guest: Guest, _ plain: [UInt8]) {
        guests[ObjectIdentifier(guest)] = guest
        guest.timer = loop.schedule(after: Self.guestMilliseconds) { guest.stream.close() }
        guest.stream.onRead = { [unowned self] bytes in
            do { hear(guest, try guest.channel.receive([UInt8](copying: bytes))) } catch {
                guest.stream.close()
            }
        }
        guest.stream.onClose = { [unowned self] _ in
            guest.timer?.cancel()
            guests[ObjectIdentifier(guest)] = nil
            if guest.isAsking { askerLeft(guest) }
        }
        guest.stream.resumeReading()
        if !plain.isEmpty { hear(guest, plain) }
    }

    private func hear(_ guest: Guest, _ plain: [UInt8]) {
        guard !guest.isAnswered else { return }
        guest.lines.append(plain)
        if guest.isAsking { return hearAsker(guest) }
        do {
            guard let line = try guest.lines.next() else { return }
            let answer = try letIn(guest, line)
            guest.answer(.result(answer.json))
        } catch {
            log.warning("an invitation did not work: \(error)")
            guest.answer(.error(ControlError.of(error)))
        }
        // Members hear of it at once.
        engine.storeChanged(now: now)
        pump()
    }

    /// The one way in: whoever comes here has proved the one-time key of an invitation, or a person has
    /// made one for its key.
    func letIn(_ guest: Guest, _ line: [UInt8]) throws -> PairingAnswer {
        let members = context.members
        let wall = WallClock.milliseconds()
        try invitations.expire(now: wall)
        guard let given = invitations[guest.oneTime] else {
            throw NodeError(.refused, "the invitation is not known here any more")
        }
        let request = try PairingRequest(line: line, inviter: members.own, oneTime: given.key)
        try check(given, request, wall)
        let name = request.names.wanted ?? given.name ?? request.names.machine
        if members.byNode[request.key.node] == nil {
            guard members.ownRole == .writer else {
                throw NodeError(
                    .refused,
                    "\(context.name) is no writer of its group any more: ask another member")
            }
            try invitations.use(given.key, by: request.key)
            try members.admit(
                Member(
                    key: request.key, name: name, role: given.role, introducer: members.own.node,
                    sinceMilliseconds: wall), founder: context.name)
            log.info("\(name) (\(request.key.node.prefix(8))) is a member now")
        }
        // A second request of the same newcomer means that the first answer was lost.
        try invitations.finish(given.key)
        announceInvitations()
        let admitted = members.byNode[request.key.node]
        return PairingAnswer(
            group: context.identity.group, name: admitted?.name ?? name,
            role: admitted?.role ?? given.role, inviter: context.name)
    }

    /// - Throws: `refused` when the invitation is of no use to this newcomer.
    private func check(_ given: GivenInvitation, _ request: PairingRequest, _ wall: Int64) throws {
        let again = "on \(context.name), run `starling invite` again"
        guard request.group == nil || request.group == context.identity.group else {
            throw NodeError(
                .refused,
                "\(context.name) is in another group than the one whose data the newcomer has: join with "
                    + "another folder, `starling join LINE --home DIR`")
        }
        switch given.state {
        case .revoked: throw NodeError(.refused, "the invitation was revoked: \(again)")
        case .used where given.usedBy != request.key, .done where given.usedBy != request.key:
            throw NodeError(
                .refused,
                "the invitation was used already: it works once. If that was not you, look at "
                    + "`starling members` on \(context.name), remove who is not yours, and \(again)"
            )
        case .expired: throw Self.expired(again)
        case .used where given.expiresMilliseconds <= wall: throw Self.expired(again)
        default: break
        }
        // Whoever was removed comes back by another invitation, and as somebody new.
        let wasMember = try context.members.wasMember(request.key.node)
        guard
            context.members.byNode[request.key.node] != nil || !(given.state == .done || wasMember)
        else {
            throw NodeError(
                .refused,
                "this node was removed from the group: join with a new home folder, "
                    + "`starling join LINE --home DIR`, and a new invitation; \(again)")
        }
    }

    private static func expired(_ again: String) -> NodeError {
        NodeError(.refused, "the invitation has expired: \(again)")
    }

    // MARK: invite

    static let invitationMilliseconds: Int64 = 10 * 60_000
    static let invitationMillisecondsMax: Int64 = 7 * 86_400_000

    /// `invite`: makes an invitation, or revokes.
    func invite(_ arguments: JSONObject) throws -> JSONValue {
        let wall = WallClock.milliseconds()
        if arguments["revoke"] == true {
            let id = arguments["id"]?.string
            let count = try invitations.revoke(id, now: wall)
            announceInvitations()
            if let id, count == 0 {
                throw NodeError(
                    .notFound,
                    "no open invitation has the id \(id): `starling members` lists them")
            }
            return ["revoked": .int(Int64(count))]
        }
        if let code = arguments["confirm"]?.string { return try confirm(code) }
        if arguments["deny"] == true { return try deny() }
        let (port, lifetime, role) = try wishes(arguments)
        var generator = SystemRandomNumberGenerator()
        let expires = wall + lifetime
        let invitation = Invitation(
            inviter: context.members.own,
            secret: (0..<Invitation.secretBytes).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            },
            expiresSeconds: UInt32(clamping: expires / 1000), name: context.name,
            addresses: invitationAddresses(port))
        let given = GivenInvitation(
            key: try invitation.oneTimeKey().publicKey,
            name: try arguments["name"]?.string.map(Identity.checkedName), role: role,
            expiresMilliseconds: expires)
        try invitations.add(given, now: wall)
        // So that the newcomer finds this node by the invitation alone.
        announceInvitations()
        return [
            "invitation": .string(invitation.line), "expires_ms": .int(expires),
            "id": .string(given.id), "role": .string(role.rawValue),
            "name": JSONValue(optional: given.name),
            "warning": JSONValue(
                optional: strangerProblem.map {
                    "\($0.message): it may have been removed, and whoever is let in here is then in "
                        + "another group than \(context.name) was"
                }),
        ]
    }

    /// What an invitation is to be like, whether of a line or by a code.
    ///
    /// - Throws: `refused` when this node can let nobody in.
    func wishes(
        _ arguments: JSONObject
    ) throws -> (port: UInt16, lifetime: Int64, role: Membership.Role) {
        guard context.members.ownRole == .writer else {
            throw NodeError(
                .refused,
                context.members.isForgotten
                    ? Members.forgotten
                    : context.members.ownRole == nil
                        ? "this node was removed from the group: it can let nobody in"
                        : "this node is a reader: let a writer invite")
        }
        guard let port = listener?.address.port else {
            throw NodeError(.failed, "this node does not listen, so nobody could come")
        }
        let lifetime = arguments["ttl_ms"]?.int ?? Self.invitationMilliseconds
        guard lifetime > 0, lifetime <= Self.invitationMillisecondsMax else {
            throw NodeError(.usage, "an invitation lasts from a second to seven days")
        }
        return (port, lifetime, arguments["reader"] == true ? .reader : .writer)
    }

    /// Where a newcomer may find this node without discovery: the address that it listens on, or all of
    /// the machine's.
    func invitationAddresses(_ port: UInt16) -> [HostPort] {
        guard let listen = listenAddress.flatMap({ HostPort($0) }) else { return [] }
        guard listen.host == "::" || listen.host == "0.0.0.0" else { return [listen] }
        let found = NetworkAddresses.current().compactMap { text -> (rank: Int, host: String)? in
            let parts = text.split(separator: " ").map(String.init)
            // An address with a zone means nothing on another machine.
            guard parts.count == 2, !parts[1].contains("%"), !parts[1].hasPrefix("fe80:") else {
                return nil
            }
            // Bridges of containers lead nowhere, mostly.
            let isBridge = ["docker", "br-", "veth", "virbr"].contains { parts[0].hasPrefix($0) }
            return ((isBridge ? 2 : 0) + (parts[1].contains(":") ? 1 : 0), parts[1])
        }
        return found.sorted { $0.rank != $1.rank ? $0.rank < $1.rank : $0.host < $1.host }
            .prefix(Invitation.addressesMax).map { HostPort(host: $0.host, port: port) }
    }
}

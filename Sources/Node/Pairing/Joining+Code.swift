// Joining without an invitation: whom to ask, what stands on the screen, and what each end is called.

internal import Discovery
internal import Transport
internal import Trust

extension Joining {
    /// From the first announcement on, so that a second one is noticed.
    private static let gatherMilliseconds: UInt64 = 2000
    private static let openMax = 16
    /// A little longer than the other machine waits for its person.
    private static let compareMilliseconds: UInt64 = 135_000

    /// Somebody who may be asked appeared, or is gone again.
    func foundSomebody(_ event: DiscoveryEvent) {
        guard guest == nil, result == nil else { return }
        switch event {
        case .appeared(let peer) where Announcements.isOpen(peer):
            guard open.count < Self.openMax || open[peer.instanceName] != nil else { return }
            open[peer.instanceName] = peer.addresses.map { HostPort(host: $0, port: peer.port) }
            guard gathering?.isActive != true else { return }
            gathering = loop.schedule(after: Self.gatherMilliseconds) { [unowned self] in choose() }
        case .appeared(let peer): open[peer.instanceName] = nil
        case .disappeared(let instance): open[instance] = nil
        case .stateChanged: break
        }
    }

    /// Of several nobody knows which one is meant.
    private func choose() {
        guard guest == nil, result == nil else { return }
        guard open.count < 2 else {
            let listed = open.values.compactMap(\.first?.description).sorted()
            return end(
                .failure(
                    NodeError(
                        .refused,
                        "\(open.count) machines on this network are open to be asked "
                            + "(\(listed.joined(separator: ", "))): name the one that is meant with "
                            + "--peer HOST:PORT, as `starling invite --nearby` shows it there")))
        }
        for address in open.values.first ?? [] { reach(address) }
    }

    /// A message of the exchange.
    func step(_ event: JSONValue) throws {
        guard exchange != nil else { return }
        if let answer = try exchange?.received(CodeMessage(event)) {
            return try send(answer.json.encoded + [0x0a])
        }
        guard let code = exchange?.code else { return }
        limit(to: Self.compareMilliseconds)
        say(.code(code, address: guest.map { $0.address.description } ?? ""))
    }

    // MARK: Words

    var who: String { invitation?.name ?? "the other machine" }

    /// The other side closed the connection and said nothing.
    func endedWords(_ reason: String) -> String {
        guard invitation == nil else {
            return "\(who) ended the exchange (\(reason)): try the same line again"
        }
        return exchange?.code == nil
            ? "\(who) ended the exchange (\(reason)) before there was a code: try again"
            : "\(who) went away before anybody answered there (\(reason)): run `starling invite "
                + "--nearby` there, and this again"
    }

    var unknownWords: String {
        invitation == nil
            ? "\(who) is not open to be asked: run `starling invite --nearby` there first"
            : "\(who) does not know this invitation: it is an old one, or that node was made anew; run "
                + "`starling invite` there again"
    }

    var remedy: String {
        guard let invitation else {
            return ": run `starling invite --nearby` on it and check that both are on one network, "
                + "or name its address with --peer HOST:PORT"
        }
        let isOver = Int64(invitation.expiresSeconds) * 1000 < WallClock.milliseconds()
        return ": check that its node runs and that both machines are on one network, or name its "
            + "address with --peer HOST:PORT"
            + (isOver ? ". By this machine's clock the invitation has expired, too" : "")
    }
}

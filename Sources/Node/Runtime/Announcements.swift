// Discovery: what this node says of itself on the network, and what it makes of what others say.
// Members recognise each other; to everybody else an announcement is a random name.

internal import Discovery
internal import Sync
internal import Transport
internal import Trust

/// Announcements that were heard, and whose they are.
struct Announcements {
    static let saltBytes = 8
    /// The newest open invitations that fit beside the rest.
    static let invitationsMax = 6

    /// New at each start and in each network: who cannot recognise the tag cannot follow the node.
    private(set) var salt: [UInt8] = []
    let acquaintances = Acquaintances()
    /// Somebody else has this name: another is taken soon, and less and less soon.
    private var renewal: Transport.Timer?
    private var renewalPause = Self.renewalMilliseconds
    private static let renewalMilliseconds: UInt64 = 2000
    private static let renewalMillisecondsMax: UInt64 = 120_000
    private static let lookMilliseconds: Int64 = 60_000
    var service: DiscoveryService?
    /// The open invitations that are announced, and when the first of them ends.
    private(set) var invited: [PublicKey] = []
    private var expiry: Transport.Timer?
    private(set) var heard: [String: DiscoveredPeer] = [:]
    private var nodes: [String: String] = [:]

    init() { renew() }

    /// Another salt, and so another name.
    mutating func renew() {
        var generator = SystemRandomNumberGenerator()
        salt = (0..<Self.saltBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// What the owner of `key` is called on the network.
    func instanceName(of key: PublicKey, group: String) -> String {
        Acquaintances.name(of: key, group: Hexadecimal.bytes(group) ?? [], salt: salt)
    }

    /// The TXT record of the owner of `key`.
    func record(
        of key: PublicKey, group: String, invitations: [PublicKey] = [], isOpen: Bool = false
    ) -> [String: String] {
        let tag = key.tag(group: Hexadecimal.bytes(group) ?? [], salt: salt)
        var record = [
            "salt": Hexadecimal.text(salt), "tag": Hexadecimal.text(tag), "proto": "2",
        ]
        let invited = invitations.prefix(Self.invitationsMax)
            .map { Hexadecimal.text($0.invitationTag(salt: salt)) }
        if !invited.isEmpty { record["inv"] = invited.joined(separator: ",") }
        if isOpen { record["ask"] = "1" }
        return record
    }

    /// Whether its owner gave the invitation with this one-time key.
    static func isInvited(by peer: DiscoveredPeer, _ oneTime: PublicKey) -> Bool {
        guard let salt = peer.txt["salt"].flatMap(Hexadecimal.bytes), salt.count == saltBytes,
            let invited = peer.txt["inv"]
        else { return false }
        let wanted = Hexadecimal.text(oneTime.invitationTag(salt: salt))
        return invited.split(separator: ",").prefix(invitationsMax).contains { $0 == wanted }
    }

    /// Whether anybody may ask its owner to be let in by a code just now.
    static func isOpen(_ peer: DiscoveredPeer) -> Bool { peer.txt["ask"] == "1" }

    /// Whose announcement it is, among `keys` of one group. O(keys).
    static func owner(
        of peer: DiscoveredPeer, among keys: some Sequence<PublicKey>, group: String
    ) -> PublicKey? {
        guard let secret = Hexadecimal.bytes(group),
            let salt = peer.txt["salt"].flatMap(Hexadecimal.bytes), salt.count == saltBytes,
            let tag = peer.txt["tag"].flatMap(Hexadecimal.bytes)
        else { return nil }
        return keys.first { $0.tag(group: secret, salt: salt) == tag }
    }

    mutating func heard(_ peer: DiscoveredPeer) { heard[peer.instanceName] = peer }

    mutating func belongs(_ instance: String, to node: String) { nodes[instance] = node }

    /// Forgets an announcement; the node that made it, if that was known.
    mutating func lost(_ instance: String) -> String? {
        heard[instance] = nil
        return nodes.removeValue(forKey: instance)
    }

    func instances(of node: String) -> [String] {
        nodes.filter { $0.value == node }.map(\.key).sorted()
    }

    /// Notes what is announced; `look` is called when an invitation has ended.
    mutating func announce(
        _ open: [GivenInvitation], on loop: EventLoop, now: Int64, _ look: @escaping () -> Void
    ) {
        invited = open.map(\.key)
        expiry?.cancel()
        expiry = open.map(\.expiresMilliseconds).min().map { end in
            // The clock of the machine may be set meanwhile.
            let delay = min(max(end - now, 0) + 1, Self.lookMilliseconds)
            return loop.schedule(after: UInt64(delay), look)
        }
    }

    /// Plans another name, once.
    mutating func planRenewal(on loop: EventLoop, _ renew: @escaping () -> Void) {
        guard renewal?.isActive != true else { return }
        renewal = loop.schedule(after: renewalPause, renew)
        renewalPause = min(renewalPause * 2, Self.renewalMillisecondsMax)
    }

    /// Asks the network again where `node` is.
    func lookAgain(_ node: String) {
        for instance in instances(of: node) { service?.resolve(instance) }
    }
}

extension NodeService {
    func startDiscovery() {
        guard options.discovery ?? context.configuration.discovery else { return }
        let mailbox = loop.mailbox
        let boxed = LoopBound(self, on: loop)
        let open = invitations.open(now: WallClock.milliseconds())
        planLook(at: open)
        do {
            let announcement = try ServiceAnnouncement(
                instanceName: announcements.instanceName(
                    of: context.members.own, group: context.identity.group),
                port: listener?.address.port ?? 0,
                txt: announcements.record(
                    of: context.members.own, group: context.identity.group,
                    invitations: open.map(\.key), isOpen: opening != nil))
            let acquaintances = announcements.acquaintances
            acquaintances.know(knownKeys, group: context.identity.group)
            let service = DiscoveryService(
                announcement: announcement, isWanted: { acquaintances.mayBe($0) }
            ) { event in
                mailbox.post { _ in boxed.value.discovered(event) }
            }
            try service.start()
            announcements.service = service
        } catch {
            discoveryProblem = ProblemFact(code: "discovery", message: "\(error)")
            log.warning("\(error)")
        }
    }

    private func planLook(at open: [GivenInvitation]) {
        announcements.announce(open, on: loop, now: WallClock.milliseconds()) {
            [unowned self] in announceInvitations()
        }
    }

    /// Announces the invitations that are open, and no others: whoever kept one that is over would follow
    /// the node by it.
    func announceInvitations() {
        guard !isStopping, announcements.service != nil else { return }
        let open = invitations.open(now: WallClock.milliseconds())
        guard open.map(\.key) != announcements.invited else { return planLook(at: open) }
        restartDiscovery()
    }

    /// In another network the node is another stranger.
    func restartDiscovery() {
        guard let service = announcements.service else { return }
        announcements.service = nil
        // Its goodbye is sent by its own thread; nobody waits for it here.
        service.stop(withinMs: 0)
        announcements.renew()
        startDiscovery()
    }

    private func discovered(_ event: DiscoveryEvent) {
        switch event {
        case .appeared(let peer):
            announcements.heard(peer)
            recognise(peer)
        case .disappeared(let instance):
            if let node = announcements.lost(instance) {
                engine.updateBook(now) { $0.lost(node: node) }
            }
        case .stateChanged(let state):
            switch state {
            case .unavailable(let reason), .conflict(let reason):
                if discoveryProblem?.message != reason { log.warning(reason) }
                discoveryProblem = ProblemFact(code: "discovery", message: reason)
                guard case .conflict = state else { break }
                // The name was drawn at random: another is as good, and this one is somebody's who wants it.
                announcements.planRenewal(on: loop) { [unowned self] in
                    if !isStopping { restartDiscovery() }
                }
            case .running, .stopped: discoveryProblem = nil
            case .starting: break
            }
        }
        pump()
    }

    /// Of those that this node looks for.
    private var knownKeys: [PublicKey] {
        let members = context.members
        return members.others.map(\.key) + [members.introducer?.key].compactMap(\.self)
    }

    private func recognise(_ peer: DiscoveredPeer) {
        guard
            let key = Announcements.owner(
                of: peer, among: knownKeys, group: context.identity.group)
        else { return }
        announcements.belongs(peer.instanceName, to: key.node)
        let addresses = peer.addresses.map { PeerAddress(host: $0, port: peer.port) }
        engine.updateBook(now) {
            $0.discovered(node: key.node, name: "", addresses: addresses, now: self.now)
        }
    }

    /// Who came to be a member may have announced itself before.
    func recogniseAgain() {
        announcements.acquaintances.know(knownKeys, group: context.identity.group)
        for peer in announcements.heard.values.sorted(by: { $0.instanceName < $1.instanceName }) {
            recognise(peer)
        }
    }

    /// Instances of known peers that are not connected: looked up again now and then.
    var unreachedInstances: [String] {
        engine.peersStatus(now).flatMap { status in
            status.state == .connected ? [] : status.node.map(announcements.instances) ?? []
        }
    }
}

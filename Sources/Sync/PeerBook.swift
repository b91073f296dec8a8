// Who the peers are and when to dial them: a pure value, fed with what discovery, configuration and
// connections say. Discovery is a hint; a peer is deleted by nobody but a person.

internal import Wire

/// All known peers, by node id or, until that is known, by address.
package struct PeerBook {
    package struct RecordID: Hashable, Comparable, Sendable {
        var number: Int
        package static func < (left: RecordID, right: RecordID) -> Bool {
            left.number < right.number
        }
    }

    /// This node's id: what answers with it is the node itself.
    let node: String
    private(set) var records: [RecordID: PeerRecord] = [:] {
        didSet { isPlanStale = true }
    }
    // The plan is asked for after every event and changes with few of them.
    private var isPlanStale = true
    private var plannedDial: Milliseconds?
    private var byNode: [String: RecordID] = [:]
    private var lastRecord = 0
    private var lastDial: UInt64 = 0
    private var selfAddresses: Set<PeerAddress> = []
    /// Who is dialled; nil for everybody. Who came to be a member, or has another role, is dialled at once.
    var members: [String: Membership.Role]? {
        didSet {
            isPlanStale = true
            for id in records.keys {
                guard let node = records[id]?.node, let role = members?[node],
                    oldValue?[node] != role
                else { continue }
                records[id]?.resetBackoff()
                records[id]?.refusal = nil
            }
        }
    }

    package init(node: String) { self.node = node }

    // MARK: Sources

    /// An address from the configuration or the command line.
    package mutating func add(fixed address: PeerAddress) {
        guard !selfAddresses.contains(address) else { return }
        let id = record(at: address) ?? newRecord(node: nil)
        guard let id else { return }
        _ = records[id]?.add(address, .fixed)
        records[id]?.resetBackoff()
    }

    /// A peer was announced on the network: dial it at once, whatever happened before.
    package mutating func discovered(
        node peer: String, name: String, addresses: [PeerAddress], now: Milliseconds
    ) {
        guard peer != node else { return }
        guard let id = record(of: peer) ?? newRecord(node: peer) else { return }
        let wasAnnounced = records[id]?.sources.contains(.discovered) ?? false
        var isNews = !wasAnnounced
        for address in addresses where !selfAddresses.contains(address) {
            absorb(address, into: id)
            if records[id]?.add(address, .discovered) == true { isNews = true }
        }
        if !name.isEmpty { records[id]?.name = name }
        guard isNews, var record = records[id],
            now - (record.newsAt ?? .min / 2) >= SyncLimits.newsGapMilliseconds
        else { return }
        record.newsAt = now
        record.resetBackoff()
        record.refusal = nil
        // Of two nodes that find each other in one moment, one dials and the other soon after.
        if node > peer { record.nextTryAt = now + SyncLimits.politenessMilliseconds }
        records[id] = record
    }

    /// The announcement went away: the addresses are kept as remembered ones.
    package mutating func lost(node peer: String) {
        guard let id = record(of: peer), var record = records[id] else { return }
        for index in record.addresses.indices
        where record.addresses[index].sources.contains(.discovered) {
            record.addresses[index].sources.remove(.discovered)
            record.addresses[index].sources.insert(.remembered)
        }
        records[id] = record
    }

    /// Takes up what an earlier run remembered.
    package mutating func restore(_ peers: [RememberedPeer]) {
        for peer in peers where peer.node != node {
            guard let id = record(of: peer.node) ?? newRecord(node: peer.node) else { return }
            records[id]?.name = peer.name
            for address in peer.addresses {
                absorb(address, into: id)
                _ = records[id]?.add(address, .remembered)
            }
        }
    }

    /// What the next run should know; sorted, so that it changes only when something did.
    package var remembered: [RememberedPeer] {
        records.values.compactMap { record in
            guard let node = record.node, !record.isSelf, !record.addresses.isEmpty,
                isMember(record)
            else { return nil }
            return RememberedPeer(
                node: node, name: record.name, addresses: record.addresses.map(\.address).sorted())
        }.sorted { $0.node < $1.node }
    }

    /// A person or a new network: try everybody now.
    package mutating func resetBackoff() {
        for id in records.keys {
            records[id]?.resetBackoff()
            records[id]?.refusal = nil
        }
    }

    // MARK: Dialling

    private func isDialable(_ record: PeerRecord, _ chosen: Set<String>?) -> Bool {
        // Behind an address that a person gave there may be somebody else by now.
        guard record.contact == .none, !record.isSelf, !record.addresses.isEmpty,
            isMember(record) || record.sources.contains(.fixed)
        else { return false }
        guard let chosen, let node = record.node, !record.sources.contains(.fixed) else {
            return true
        }
        return chosen.contains(node)
    }

    /// Whether the record is of a member, or of nobody in particular.
    func isMember(_ record: PeerRecord) -> Bool {
        guard let node = record.node, let members else { return true }
        return members[node] != nil
    }

    private var dialing: Int {
        records.values.reduce(0) { sum, record in
            if case .dialing = record.contact { return sum + 1 }
            return sum
        }
    }

    /// Peers to connect to now; each is marked as being dialled.
    mutating func takeDials(now: Milliseconds) -> [Dial] {
        guard let due = nextDeadline, due <= now else { return [] }
        let chosen = neighbours
        var room = SyncLimits.dialsMax - dialing
        var dials: [Dial] = []
        for id in records.keys.sorted() where room > 0 {
            guard var record = records[id], isDialable(record, chosen), record.nextTryAt <= now
            else { continue }
            room -= 1
            lastDial += 1
            let dial = DialID(lastDial)
            record.contact = .dialing(dial)
            records[id] = record
            dials.append(Dial(id: dial, node: record.node, addresses: record.dialOrder))
        }
        return dials
    }

    /// When the next dial is due; nil when none is.
    var nextDeadline: Milliseconds? {
        mutating get {
            if isPlanStale {
                isPlanStale = false
                plannedDial = nil
                if dialing < SyncLimits.dialsMax {
                    let chosen = neighbours
                    for record in records.values where isDialable(record, chosen) {
                        plannedDial = min(plannedDial ?? .max, record.nextTryAt)
                    }
                }
            }
            return plannedDial
        }
    }

    /// Whom to dial in a large group: the next nodes on the ring of ids and a few at random, fixed
    /// by this node's id; nil for everybody. The ring keeps the graph connected.
    private var neighbours: Set<String>? {
        let nodes = records.values.compactMap { $0.isSelf || !isMember($0) ? nil : $0.node }
        guard nodes.count > SyncLimits.fullMeshMax else { return nil }
        let sorted = nodes.sorted()
        let start = sorted.firstIndex { $0 > node } ?? 0
        var chosen: Set<String> = []
        for step in 0..<SyncLimits.ringNeighbours {
            chosen.insert(sorted[(start + step) % sorted.count])
        }
        var state = node.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        for _ in 0..<SyncLimits.randomNeighbours {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            chosen.insert(sorted[Int((state >> 33) % UInt64(sorted.count))])
        }
        return chosen
    }

    /// A dial led to a connection; who answered is not known yet.
    mutating func connected(_ dial: DialID) -> RecordID? {
        guard let id = record(dialing: dial) else { return nil }
        records[id]?.contact = .connected
        return id
    }

    mutating func dialFailed(
        _ dial: DialID, reason: String, now: Milliseconds, jitter: Milliseconds
    ) {
        guard let id = record(dialing: dial) else { return }
        records[id]?.contact = .none
        records[id]?.lastError = reason
        records[id]?.backOff(now, jitter: jitter)
    }

    // MARK: Connections

    /// A peer named itself on a connection; returns its record.
    mutating func identified(
        dialed: RecordID?, as peer: String, name: String, address: PeerAddress?, now: Milliseconds
    ) -> RecordID? {
        if let dialed, let record = records[dialed], record.node != peer {
            // The address led to another node than was thought, or to one not known before.
            release(dialed, address, to: peer)
        }
        guard let id = record(of: peer) ?? newRecord(node: peer) else { return nil }
        if let address, !selfAddresses.contains(address) {
            absorb(address, into: id)
            _ = records[id]?.add(address, .remembered)
            if let index = records[id]?.addresses.firstIndex(where: { $0.address == address }),
                dialed != nil
            {
                records[id]?.addresses[index].lastSuccessAt = now
            }
        }
        records[id]?.contact = .connected
        if !name.isEmpty { records[id]?.name = name }
        records[id]?.lastSeenAt = now
        return id
    }

    /// At an address of `peer`, of which others are tried, `other` has proved its key: it is `other`'s.
    package mutating func answered(
        by other: String, at address: PeerAddress, insteadOf peer: String
    ) {
        guard other != peer, let id = record(of: peer), var record = records[id] else { return }
        let moved = record.addresses.filter { $0.address == address }
        record.addresses.removeAll { $0.address == address }
        records[id] = record
        guard let target = self.record(of: other) ?? newRecord(node: other) else { return }
        for known in moved { _ = records[target]?.add(known.address, known.sources) }
    }

    /// The session is established.
    mutating func activated(_ id: RecordID, now: Milliseconds) {
        records[id]?.isActive = true
        records[id]?.refusal = nil
        records[id]?.hint = nil
        records[id]?.lastError = nil
        records[id]?.lastSeenAt = now
    }

    /// An address led to this node itself: nobody dials it again. A peer that announced it too, as
    /// machines with container bridges do, keeps its other addresses.
    mutating func foundSelf(at address: PeerAddress, record id: RecordID?) {
        guard let id, var record = records[id] else { return }
        selfAddresses.insert(address)
        if record.node == nil, record.addresses.count <= 1 {
            record.isSelf = true
        } else {
            record.addresses.removeAll { $0.address == address }
        }
        records[id] = record
    }

    /// A connection ended.
    mutating func closed(
        _ id: RecordID, reason: String, refusal: GoodbyeMessage.Code?, isConnectedElsewhere: Bool,
        heldFor: Milliseconds, now: Milliseconds, jitter: Milliseconds
    ) {
        guard var record = records[id], !isConnectedElsewhere else { return }
        record.contact = .none
        if record.isActive { record.lastSeenAt = now }
        record.isActive = false
        switch refusal {
        case .selfConnection?:
            record.nextTryAt = now + jitter
        case .some(let code) where code.isRefusal:
            record.refusal = code
            record.lastError = reason
            record.retries += 1
            record.nextTryAt = now + SyncLimits.backoffMaxMilliseconds + jitter
        case .duplicate?:
            // The pair's other connection is about to be known here.
            record.nextTryAt = now + SyncLimits.backoffFirstMilliseconds + jitter
        default:
            record.lastError = reason
            record.hint = refusal
            if heldFor >= SyncLimits.stableMilliseconds { record.retries = 0 }
            record.backOff(now, jitter: jitter)
        }
        records[id] = record
    }

    /// The next attempt is not after `time`, if that is still to come.
    mutating func tryAgain(_ id: RecordID, by time: Milliseconds, _ now: Milliseconds) {
        guard time > now, let record = records[id] else { return }
        records[id]?.nextTryAt = min(record.nextTryAt, time)
    }

    // MARK: Finding records

    private func record(of node: String) -> RecordID? {
        byNode[node]
    }

    private func record(at address: PeerAddress) -> RecordID? {
        records.values.lazy.filter { $0.addresses.contains { $0.address == address } }
            .map(\.id).min()
    }

    private func record(dialing dial: DialID) -> RecordID? {
        records.values.first { $0.contact == .dialing(dial) }?.id
    }

    private mutating func newRecord(node: String?) -> RecordID? {
        guard records.count < SyncLimits.peersMax else { return nil }
        lastRecord += 1
        let id = RecordID(number: lastRecord)
        records[id] = PeerRecord(id: id, node: node)
        if let node { byNode[node] = id }
        return id
    }

    /// Moves `address` from records that know no node to `id`.
    private mutating func absorb(_ address: PeerAddress, into id: RecordID) {
        guard records.count > byNode.count else { return }
        for other in records.values where other.id != id && other.node == nil {
            guard let known = other.addresses.first(where: { $0.address == address }) else {
                continue
            }
            _ = records[id]?.add(address, known.sources)
            records[other.id]?.addresses.removeAll { $0.address == address }
            if records[other.id]?.addresses.isEmpty == true, other.contact == .none {
                records[other.id] = nil
            }
        }
    }

    /// `id` was dialled at `address` and `peer` answered, whom the record does not describe.
    private mutating func release(_ id: RecordID, _ address: PeerAddress?, to peer: String) {
        guard var record = records[id] else { return }
        record.contact = .none
        if record.node == nil, self.record(of: peer) == nil {
            record.node = peer
            records[id] = record
            byNode[peer] = id
            return
        }
        let moved = record.addresses.filter { $0.address == address }
        record.addresses.removeAll { $0.address == address }
        record.nextTryAt = .min
        records[id] = record.addresses.isEmpty && record.node == nil ? nil : record
        guard let target = self.record(of: peer) ?? newRecord(node: peer) else { return }
        for known in moved { _ = records[target]?.add(known.address, known.sources) }
    }
}

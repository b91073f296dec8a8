// What a person can be told about each peer, and whether all is well: for `status`, `peers`, `why`
// and `wait`.

internal import CausalModel
internal import Store
internal import Wire

/// One peer at one moment.
package struct PeerStatus: Sendable, Equatable {
    /// One word for the state of a peer.
    package struct State: RawRepresentable, Hashable, Sendable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        package static let connected = State(rawValue: "connected")
        package static let connecting = State(rawValue: "connecting")
        /// Between two attempts.
        package static let waiting = State(rawValue: "waiting")
        /// Several attempts failed.
        package static let unreachable = State(rawValue: "unreachable")
        /// One of the two does not want the other; a person must act.
        package static let refused = State(rawValue: "refused")
        /// Known, but without an address; it may connect by itself.
        package static let known = State(rawValue: "known")
        /// The address leads to this node.
        package static let isSelf = State(rawValue: "self")
    }

    /// Rows of a transfer that is under way.
    package struct Progress: Sendable, Equatable {
        package var isIncoming: Bool
        package var rowsDone: Int
        package var rowsTotal: Int
    }

    package var node: String?
    package var name: String
    package var addresses: [PeerAddress]
    package var state: State
    /// The last thing that went wrong, in words; nil when nothing did since it last worked.
    package var lastError: String?
    /// What a person can do about it.
    package var remedy: String?
    package var retries = 0
    package var nextTryAt: Milliseconds?
    package var lastSeenAt: Milliseconds?
    /// Changes here that the peer has not stated.
    package var behind: UInt64?
    /// Changes here that the peer refuses: to it this node is a reader.
    package var refused: UInt64 = 0
    /// Changes the peer has that are not here.
    package var ahead: UInt64?
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    package var progress: [Progress] = []
    /// Equal vectors, different digests: the contents differ and must not.
    package var isDivergent = false
    package var isWhole: Bool?
    /// The peer does not know this node's key.
    package var isUnknownThere = false
}

extension SyncEngine {
    /// Rows are under way from or to a peer.
    package var isTransferring: Bool {
        links.values.contains { $0.outgoing != nil || $0.session.incoming != nil }
    }

    /// Every known peer, connected ones first, then by name.
    package func peersStatus(_ now: Milliseconds) -> [PeerStatus] {
        var byRecord: [PeerBook.RecordID: PeerLink] = [:]
        var anonymous: [PeerLink] = []
        for peer in sortedLinks {
            guard let record = peer.record else {
                anonymous.append(peer)
                continue
            }
            if byRecord[record]?.isActive != true { byRecord[record] = peer }
        }
        var all = book.records.values.filter(book.isMember).map {
            status(of: $0, byRecord[$0.id], now)
        }
        all += anonymous.map { peer in
            PeerStatus(
                node: peer.session.peer?.node, name: peer.session.peer?.name ?? "",
                addresses: peer.address.map { [$0] } ?? [], state: .connecting)
        }
        return all.sorted { left, right in
            let isFirst = left.state == .connected
            if isFirst != (right.state == .connected) { return isFirst }
            let (one, two) = (left.name, right.name)
            return one != two ? one < two : (left.node ?? "") < (right.node ?? "")
        }
    }

    private func status(of record: PeerRecord, _ peer: PeerLink?, _ now: Milliseconds)
        -> PeerStatus
    {
        var status = PeerStatus(
            node: record.node, name: record.name, addresses: record.dialOrder,
            state: word(record, peer, now))
        status.lastError = record.lastError
        status.remedy = (record.refusal ?? record.hint)?.remedy
        status.isUnknownThere = record.hint == .unknownKey
        status.retries = record.retries
        status.lastSeenAt = record.lastSeenAt
        if peer == nil, record.nextTryAt > now, !record.addresses.isEmpty, !record.isSelf {
            status.nextTryAt = record.nextTryAt
        }
        if let peer, peer.isActive { describe(peer, in: &status) }
        if status.isDivergent {
            status.remedy =
                "the contents differ although both saw the same changes: keep both "
                + "files and report it"
        }
        return status
    }

    private func word(_ record: PeerRecord, _ peer: PeerLink?, _ now: Milliseconds)
        -> PeerStatus.State
    {
        if record.isSelf { return .isSelf }
        if let peer { return peer.isActive ? .connected : .connecting }
        if record.contact != .none { return .connecting }
        if record.refusal != nil { return .refused }
        if record.addresses.isEmpty { return .known }
        return record.retries >= 3 ? .unreachable : .waiting
    }

    private func describe(_ peer: PeerLink, in status: inout PeerStatus) {
        // Where it is now comes first, whatever was known before.
        if let hello = peer.session.peer, let address = dialableAddress(of: peer, hello) {
            status.addresses = [address] + status.addresses.filter { $0 != address }
        }
        status.lastSeenAt = peer.session.lastHeardAt
        status.bytesIn = peer.bytesIn
        status.bytesOut = peer.bytesOut
        status.isDivergent = peer.isDivergent
        status.isWhole = peer.session.stated?.isWhole
        if let own, peer.session.stated != nil {
            // What the peer stated, and what it sent since: its deltas come from its own vector.
            let mine = own.vector.distance(beyond: peer.session.peerHas)
            status.behind = peer.accepts ? mine : 0
            status.refused = peer.accepts ? 0 : mine
            status.ahead = mayWrite(peer) ? peer.session.peerHas.distance(beyond: own.vector) : 0
        }
        if let incoming = peer.session.incoming {
            status.progress.append(
                PeerStatus.Progress(
                    isIncoming: true, rowsDone: incoming.rowsDone,
                    rowsTotal: max(incoming.rowsTotal, incoming.rowsDone)))
        }
        if let outgoing = peer.outgoing {
            status.progress.append(
                PeerStatus.Progress(
                    isIncoming: false, rowsDone: outgoing.rowsDone,
                    rowsTotal: max(outgoing.header.rows, outgoing.rowsDone)))
        }
    }

    /// The nodes with which a session stands.
    package var connectedNodes: Set<String> {
        Set(links.values.filter(\.isActive).map(\.node))
    }

    /// How many peers are connected and have said where they stand.
    package var connectedPeers: Int { links.values.reduce(0) { $0 + ($1.isActive ? 1 : 0) } }

    /// True when everything here is on every connected peer, by what it said, and everything
    /// of theirs is here. Without a peer it is true: ask ``connectedPeers`` too.
    ///
    /// Looks at the replica first, so that what programs wrote a moment ago counts.
    package func isSynced(_ now: Milliseconds) -> Bool {
        storeChanged(now: now)
        refresh(advance(to: now))
        settle(lastNow)
        guard let own, refreshAt == nil, !own.isJoining else { return false }
        // Of a reader nothing is taken. A peer that does not take what a writer has, has not seen yet that it
        // takes part.
        let isReader = membership?()?.roles[configuration.node] == .reader
        return links.values.allSatisfy { peer in
            guard let stated = peer.session.stated, peer.isActive, peer.inbox.isEmpty,
                peer.pending.isEmpty, !peer.isDivergent
            else { return false }
            return (!peer.accepts && isReader || peer.session.peerHas.covers(own.vector))
                && (!mayWrite(peer) || own.vector.covers(peer.session.peerHas))
                && stated.isWhole && own.isWhole
        }
    }
}

// Who takes part. A member joins under an origin, which another member writes into the list of members
// before it serves the copy; only changes made under that origin, after that copy, are taken.

internal import CausalModel
internal import Store
internal import Wire

/// What a peer is to this replica at the moment.
enum Standing {
    /// It has joined under the origin that it numbers under.
    case joined
    /// It waits for a copy and has nothing yet.
    case newcomer
    /// It must take a copy before anything of it is taken: its file went back, or it was away too long.
    case outdated
}

/// What a member says of how it takes part.
struct Claim {
    var origin: Origin
    var joined: Dot?
    var continued: [Origin]
    /// It has nothing yet.
    var isEmpty = false
}

extension SyncEngine {
    // MARK: Peers

    /// How `peer` stands, by the list of members; by its own word where the list here cannot know yet.
    func standing(of peer: PeerLink) -> Standing {
        guard let known = membership?(), known.origins != nil, let stated = peer.session.stated
        else { return .joined }
        if peer.isLate, own != nil { return .outdated }
        return standing(
            of: peer.node, known,
            Claim(
                origin: stated.origin, joined: stated.joined, continued: stated.continued,
                isEmpty: stated.vector.isEmpty))
    }

    /// The same of whoever says that of itself.
    func standing(of node: String, _ known: Membership, _ stated: Claim) -> Standing {
        guard let origins = known.origins, let own else { return .joined }
        // Once its copy is whole, the list is that of the group.
        let isCopying = own.isJoining && !replica.isSettling
        if origins[node] == stated.origin {
            guard let joined = stated.joined, !isCopying else { return .joined }
            // By a copy of somebody who takes part no more, of which nothing was heard here: others may have
            // collected without counting either of the two.
            // What is received half was heard of: the rest of it is on its way.
            let isOver =
                !own.vector.contains(joined) && replica.removedOrigins.contains(joined.origin)
                && !replica.holds(joined)
            return isOver && !isBroken(.copyOfRemovedCounts) ? .outdated : .joined
        }
        let isContinued = origins[node].map(stated.continued.contains) ?? false
        // A reader cannot say so in the list; whoever serves it does.
        if isContinued, known.roles[node] == .reader { return .joined }
        if stated.isEmpty { return .newcomer }
        guard let joined = stated.joined else { return isCopying ? .newcomer : .outdated }
        // Who waits for a copy itself believes whoever says that it takes part.
        if isCopying { return .joined }
        guard !own.vector.contains(joined) else { return .outdated }
        // Written by somebody who takes part, and not heard of here yet.
        if origins.values.contains(joined.origin) { return .joined }
        // It has gone on under another origin, and has forgotten nothing since it joined.
        return isContinued && joined.origin == stated.origin ? .joined : .outdated
    }

    /// Whether what the peer says of its vector counts yet: for collecting not while the peer has rows
    /// of a removed node half received; where nobody keeps count of who has joined, nobody asks.
    func countsStatements(of peer: PeerLink) -> Bool {
        !peer.session.isPeerUnsettled || membership?()?.origins == nil
    }

    /// Whether rows may go to this peer: it takes part, and this replica does, as a writer. By a list from
    /// before this node became a reader the peer would take its changes, and hand them on.
    func mayServe(_ peer: PeerLink) -> Bool {
        let isReader = membership?()?.roles[configuration.node] == .reader
        return own?.isJoining != true && (!isReader || isBroken(.readerServes))
            && standing(of: peer) == .joined
    }

    /// The dot under which this replica has joined under its present origin; nil when it has not, or
    /// nobody keeps count.
    func ownJoin(_ own: ReplicaSummary) -> Dot? {
        guard !own.isJoining, let known = membership?(),
            let origin = known.origins?[configuration.node],
            origin == own.origin || isContinuedReader(known)
        else { return nil }
        // Another member may have written the same since, and that is half received.
        if let lastJoin, lastJoin.origin == origin { return lastJoin.dot }
        // Who has forgotten nothing since it joined last may have the word about its new origin half.
        let joins = known.joins[origin] ?? []
        let half = replica.continuedOrigins.isEmpty ? nil : joins.first
        let heard = joins.filter(own.vector.contains)
        let over = heard.isEmpty ? [] : replica.removedOrigins
        // The word of somebody who takes part, where there is one.
        let word = heard.first { !over.contains($0.origin) } ?? heard.first
        guard let join = word ?? half else { return nil }
        lastJoin = (origin, join)
        return join
    }

    private func isContinuedReader(_ known: Membership) -> Bool {
        let node = configuration.node
        return known.roles[node] == .reader
            && known.origins?[node].map(replica.continuedOrigins.contains) ?? false
    }

    /// Whether this replica is a member that has joined, or is alone.
    package var takesPart: Bool {
        guard let known = membership?(), known.origins != nil, !known.roles.isEmpty else {
            return own?.isJoining != true
        }
        return own.map { ownJoin($0) != nil } ?? false
    }

    /// Whether this replica may say where it stands: not between a new origin and its place in the list, nor
    /// between the end of its copy and what it issues again, by which others would forget what that meets.
    func mayState(_ own: ReplicaSummary) -> Bool {
        guard let known = membership?(), known.origins != nil else { return true }
        if own.isJoining { return own.vector.isEmpty }
        return known.roles[configuration.node] == nil || ownJoin(own) != nil
    }

    /// Lets in who waits for a copy, sends away who has to take one.
    func settleStandings(_ now: Milliseconds) {
        graceEnd = nil
        guard membership?()?.origins != nil, let own else { return }
        let takesPart =
            ownJoin(own) != nil && membership?()?.roles[configuration.node] == .writer
        for peer in sortedLinks where peer.isActive && links[peer.id] != nil {
            if mayWrite(peer), let description = peer.heldSchema {
                peer.heldSchema = nil
                peer.pending.append(.adoptSchema(fingerprint: 0, description))
                peer.hasMore = true
            }
            guard takesPart, let stated = peer.session.stated else { continue }
            switch standing(of: peer) {
            case .joined:
                peer.stoodAt = now
                guard known(peer) == .reader, isListed(peer, as: stated.origin) == false,
                    now >= peer.joinAt
                else { continue }
                peer.joinAt = now + SyncLimits.joinGapMilliseconds
                join(peer.node, stated.origin, now)
            case .outdated:
                // It may have gone on under another origin, and others told of it first.
                if let stood = peer.stoodAt, isListed(peer) {
                    let end = stood + SyncLimits.standingGraceMilliseconds
                    guard now >= end else {
                        graceEnd = min(graceEnd ?? .max, end)
                        continue
                    }
                }
                // It will say the same of this replica, and decides.
                if mayHearFirst(from: peer) {
                    let since = peer.outdatedSince ?? now
                    peer.outdatedSince = since
                    let end = since + SyncLimits.standingGraceMilliseconds
                    guard now >= end else {
                        graceEnd = min(graceEnd ?? .max, end)
                        continue
                    }
                }
                let text = "\(peer.peerNode.prefix(8)) has to take a copy of the group's data first"
                refuse(peer, SyncError(.outOfDate, text), now)
            case .newcomer:
                guard peer.session.stated?.vector.isEmpty == true, now >= peer.joinAt else {
                    continue
                }
                peer.joinAt = now + SyncLimits.joinGapMilliseconds
                join(peer.node, stated.origin, now)
            }
        }
    }

    /// Whether the peer may say first that this replica has to take a copy: two that end the link for that at
    /// once both hear nothing.
    func mayHearFirst(from peer: PeerLink) -> Bool {
        guard let own, ownJoin(own) != nil, peer.session.stated?.joined != nil else { return false }
        return membership?()?.roles[configuration.node] == .writer
            && !isDecider(over: peer.node) && !outranks(peer)
    }

    private func known(_ peer: PeerLink) -> Membership.Role? {
        membership?()?.roles[peer.node]
    }

    /// Whether this replica sends the peer for a copy, and is not to be sent itself: of two that have
    /// counted without each other, one decides.
    func prevails(over peer: PeerLink) -> Bool {
        guard let own, ownJoin(own) != nil,
            membership?()?.roles[configuration.node] == .writer
        else { return false }
        return outranks(peer) || isDecider(over: peer.node) && standing(of: peer) == .outdated
    }

    /// What a reader has collected or knows of the members says nothing to a writer. Each is what it says of
    /// itself: by their lists two may both be the writer, and send each other for a copy without end.
    func outranks(_ peer: PeerLink) -> Bool {
        guard let known = membership?(), known.origins != nil,
            known.roles[configuration.node] == .writer
        else { return false }
        return isBroken(.listedReaderOutranked) && known.roles[peer.node] == .reader
            || saysItReads(peer)
    }

    /// Whether it takes part and says that it cannot lead: so does a reader, and nobody else who takes part.
    func saysItReads(_ peer: PeerLink) -> Bool {
        guard let stated = peer.session.stated else { return false }
        return stated.joined != nil && !stated.canLead
    }

    /// Whether the list says that it has joined, under `origin` if that is given.
    private func isListed(_ peer: PeerLink, as origin: Origin? = nil) -> Bool {
        let listed = membership?()?.origins?[peer.node]
        return listed != nil && (origin == nil || listed == origin)
    }

    /// Writes that a node has joined, which its copy must bring.
    func join(
        _ node: String, _ origin: Origin, isAlone: Bool = false, _ now: Milliseconds
    ) {
        do {
            try noteJoined?(node, origin, isAlone)
            onEvent?(.joined(node: node))
            wantRefresh(at: now)
        } catch {
            wantRefresh(at: now + SyncLimits.joinGapMilliseconds)
            if !isRetryable(error) { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    // MARK: This replica

    /// Ends the present life of this replica: it takes a copy under a new origin, and issues again what
    /// only it has. Where nobody keeps count of who has joined, it just goes on under a new origin.
    ///
    /// - Parameter isBehind: a peer that takes part asked for it.
    package func rejoin(because reason: String, isBehind: Bool = false, _ now: Milliseconds) throws
    {
        guard membership?()?.origins != nil else {
            return try takeNewOrigin(because: reason, now)
        }
        try replica.beginJoining(because: reason, isBehind: isBehind)
        onEvent?(.joining(reason: reason))
        own = nil
        for peer in sortedLinks {
            refuse(peer, SyncError(.shuttingDown, "the peer takes a new copy"), now)
        }
        book.resetBackoff()
        refresh(now)
    }

    /// The same for who was found out of date by `node`, which takes part. Another's copy may lack the same:
    /// for a while it takes that one's.
    func rejoin(because reason: String, sentBy node: String, _ now: Milliseconds) throws {
        try rejoin(because: reason, isBehind: true, now)
        if !isBroken(.copyOfAnyTaken) {
            copyWanted = (node, now + SyncLimits.copyWantedMilliseconds)
        }
    }

    /// Looks whether this replica stands as it says, and what it has to do when it does not.
    func keepStanding(_ now: Milliseconds) {
        guard let known = membership?(), let origins = known.origins, let own,
            now >= standingAt
        else { return }
        standingAt = now
        let node = configuration.node
        do {
            if own.isJoining {
                if !own.vector.isEmpty {
                    try endJoining(known, own, now)
                } else if mayLead(known, now) {
                    // The word of somebody who is gone, half received: this node cannot write it again.
                    guard origins[node] != own.origin else {
                        return try rejoin(because: "who let this node in is gone", now)
                    }
                    try replica.endJoiningAlone()
                    refresh(now)
                    // Others take it from here: the list must say so before it sends this node back.
                    if let own = self.own, !own.isJoining {
                        join(node, own.origin, isAlone: true, now)
                    }
                } else if replica.isSettling, replica.joiningVector?.isEmpty == true {
                    // It was to go on from this file, and was interrupted; somebody else takes part by now.
                    // A copy that has just ended has a vector, and is settled after the next look.
                    try rejoin(because: "others have taken part since", now)
                }
            } else if known.roles[node] != nil, origins[node] != own.origin,
                !isContinuedReader(known)
            {
                let isOurs = origins[node].map(replica.continuedOrigins.contains) ?? false
                if isOurs || origins.keys.allSatisfy({ $0 == node }) {
                    join(node, own.origin, now)
                    standingAt = now + SyncLimits.joinGapMilliseconds
                } else if mayBelieveMembers(now) {
                    try rejoin(because: "the members say that it has to", now)
                }
            } else if ownJoin(own) != nil {
                disbelief = SyncLimits.disbeliefMilliseconds.lowerBound
            }
        } catch {
            let isBusy = isRetryable(error)
            standingAt =
                now
                + (isBusy
                    ? SyncLimits.storeRetryMilliseconds.upperBound
                    : SyncLimits.storeTroubleMilliseconds)
            if !isBusy { onEvent?(.storeTrouble("\(error)")) }
        }
    }

    /// Whether the list of members is as it is for good. Right after a copy it may not have all that others
    /// say of it: a later word about an earlier life hides that of the one who served it, whose clock is
    /// slow. Each time that it was believed it is waited for longer.
    private func mayBelieveMembers(_ now: Milliseconds) -> Bool {
        guard !isBroken(.rejoinsAtOnce), let settledAt else { return true }
        guard now >= settledAt + disbelief else {
            standingAt = settledAt + disbelief
            return false
        }
        disbelief = min(2 * disbelief, SyncLimits.disbeliefMilliseconds.upperBound)
        return true
    }

    /// The copy is here. It must bring the word that this replica has joined: its sender wrote it before.
    private func endJoining(_ known: Membership, _ own: ReplicaSummary, _ now: Milliseconds) throws
    {
        // What programs here wrote about it meanwhile may hide that, and is settled afterwards. The word of
        // somebody else, whose rows came since, says nothing of this copy.
        let copied = isBroken(.copyOfRemovedCounts) ? own.vector : replica.joiningVector
        let join = known.joins[own.origin]?.first { copied?.contains($0) == true }
        if join != nil || isBroken(.copyWithoutJoining) {
            lastJoin = join.map { (own.origin, $0) }
            try replica.settleJoining()
            settledAt = now
            onEvent?(.joined(node: configuration.node))
            refresh(now)
        } else {
            try rejoin(because: "its copy did not say that it had joined", now)
        }
    }

    /// When ``keepStanding(_:)`` or ``settleStandings(_:)`` has something to try again; nil for never.
    var standingDeadline: Milliseconds? {
        guard membership != nil else { return nil }
        let waits = [leadAt, copyWanted?.until].compactMap { $0 }.filter { $0 > lastNow }
        let grace = min(graceEnd ?? .max, waits.min() ?? .max)
        return min(standingAt > lastNow ? standingAt : .max, grace)
    }
}

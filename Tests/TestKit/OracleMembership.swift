// The steps of the model cluster that change who is a member, and the handshake that keeps out
// whoever is out of date. Return, restore and rejoin are one thing: a JOIN under a new origin.

import CausalModel
import Values

extension OracleCluster {
    /// `sponsor` commits a JOIN for `newcomer`, which starts again under a new origin with nothing.
    ///
    /// What an earlier origin of it had written and nobody received is dropped: in the design it is
    /// kept and issued again, which here is a write like any other.
    mutating func join(_ sponsor: Int, _ newcomer: Int) -> Bool {
        let former = replicas[newcomer].origin
        guard sponsor != newcomer, replicas[sponsor].members.contains(replicas[sponsor].origin),
            isOutOfSight(former, but: newcomer)
        else { return false }
        let others = replicas.indices.filter { $0 != newcomer }
        // Of others, too, it may have been the last to know something.
        for origin in [former] + replicas[newcomer].vector.entries.map(\.origin) {
            let known = others.map { replicas[$0].vector[origin] }.max() ?? 0
            history.forget(origin, after: known)
        }

        joins += 1
        let origin = Origin(high: joins, low: former.low)
        var fresh = OracleReplica(origin: origin, rows: shape.rows, replicas: shape.replicas)
        fresh.closed = replicas[newcomer].closed
        if shape.variant == .copyJoinedOverOldRows {
            fresh.rows = replicas[newcomer].rows
            fresh.vector = replicas[newcomer].vector
            fresh.collected = replicas[newcomer].collected
        }
        replicas[newcomer] = fresh
        durable[newcomer] = fresh
        for other in others {
            deltas[link(newcomer, other)] = nil
            deltas[link(other, newcomer)] = nil
            senderPositions[link(newcomer, other)] = nil
            senderPositions[link(other, newcomer)] = nil
            // A position belongs to an origin.
            replicas[other].resumePoints[newcomer] = nil
            durable[other].resumePoints[newcomer] = nil
        }
        if shape.variant != .joinAfterCopy { commitJoin(sponsor, newcomer) }
        return true
    }

    func commits(_ sponsor: Int, _ newcomer: Int) -> Bool {
        replicas[sponsor].members.contains(replicas[newcomer].origin)
    }

    mutating func commitJoin(_ sponsor: Int, _ newcomer: Int) {
        let present = replicas[sponsor].members.present
        commit(
            sponsor, newcomer, joined: replicas[newcomer].origin,
            removed: present.first { $0.replica == newcomer }?.origin)
        durable[sponsor] = replicas[sponsor]
    }

    /// `remover` evicts `member`: it no longer counts for stability.
    mutating func remove(_ remover: Int, _ member: Int) -> Bool {
        let list = replicas[remover].members
        guard remover != member, list.contains(replicas[remover].origin),
            let origin = list.present.first(where: { $0.replica == member })?.origin,
            isOutOfSight(origin, but: member)
        else { return false }
        commit(remover, member, joined: nil, removed: origin)
        replicas[remover].resumePoints[member] = nil
        return true
    }

    /// What lies half received from a removed origin must be issued again; the model has no such
    /// writes, so that a removal waits until there is nothing of the kind.
    private func isOutOfSight(_ origin: Origin, but member: Int) -> Bool {
        replicas.indices.allSatisfy { $0 == member || !replicas[$0].hasHalfReceived(origin) }
    }

    private mutating func commit(
        _ writer: Int, _ member: Int, joined: Origin?, removed: Origin?
    ) {
        let origin = replicas[writer].origin
        let dot = Dot(origin, replicas[writer].vector[origin] + 1)
        // The member list stands in the history as one row more.
        let event = history.append(
            GhostEvent(
                row: shape.rows, dot: dot, operation: joined == nil ? .delete : .insert,
                stamp: .zero, birth: Birth(.zero, origin), columns: 0, values: [],
                seen: EventSet()))
        replicas[writer].vector[origin] = dot.number
        var list = OracleMembers()
        list.insert(
            OracleMemberChange(
                dot: dot, replica: member, joined: joined, removed: removed, event: event))
        _ = replicas[writer].learn(list)
    }

    // MARK: Handshake

    /// Whether anything may flow from one replica to the other.
    func isAdmitted(_ from: Int, _ to: Int) -> Bool {
        let sender = replicas[from]
        let receiver = replicas[to]
        if sender.isAwaitingCopy { return false }
        // The JOIN comes before the copy, and a copy asks for nothing else.
        if receiver.isAwaitingCopy { return commits(from, to) || shape.variant == .joinAfterCopy }
        // A removed origin is heard no more; it may still be told that it was removed.
        guard receiver.members.contains(sender.origin) else { return false }
        return shape.variant == .floorNotChecked
            || receiver.vector.covers(sender.floor) && sender.vector.covers(receiver.floor)
    }

    /// At the end of a delta the member list moves with the vector.
    mutating func learnMembers(_ delta: OracleDelta, _ from: Int, _ to: Int) {
        let wasAwaiting = replicas[to].isAwaitingCopy
        for change in replicas[to].learn(delta.members) {
            guard let removed = change.removed, replicas[to].hasHalfReceived(removed) else {
                continue
            }
            failure = OracleFailure("half received from a removed member: not in the model")
        }
        if wasAwaiting, let copy = delta.copy {
            replicas[to].takeSilence(copy)
            if shape.variant == .joinAfterCopy, !commits(from, to) { commitJoin(from, to) }
        }
    }

    /// Whether something was collected that `replica` has not seen.
    func isOutOfDate(_ replica: Int) -> Bool {
        replicas.contains { !replicas[replica].vector.covers($0.floor) }
    }

    /// Lets in again everyone who is outside, removed or out of date, as a person would.
    mutating func readmit() {
        // A half copy stands in the way of some JOIN: those blocked in one pass come in the next.
        for replica in [replicas.indices, replicas.indices, replicas.indices].joined()
        where failure == nil {
            let held = replicas[replica]
            let standing = replicas.indices.filter { other in
                let origin = replicas[other].origin
                return other != replica && replicas[other].members.contains(origin)
                    && !replicas.contains { $0.members.isRemoved(origin) }
            }
            let isOut =
                replicas.contains { $0.members.isRemoved(held.origin) }
                || isOutOfDate(replica) && !held.isAwaitingCopy
            guard isOut || held.isAwaitingCopy else { continue }
            let sponsor = standing.first { !isOut && commits($0, replica) } ?? standing.first
            guard let sponsor else { continue }
            if isOut || !commits(sponsor, replica) {
                guard perform(.join(sponsor: sponsor, newcomer: replica)) else { continue }
            }
            perform(.sync(from: sponsor, to: replica))
        }
    }
}

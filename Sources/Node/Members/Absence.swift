// Members that nobody has seen for long: they are waited for no more.

internal import Store
internal import Sync

/// When a node stops keeping deleted rows for a member who is away.
///
/// An evicted member loses nothing: when it comes back it takes a copy, and what it wrote is issued again.
enum Absence {
    /// 90 days, in milliseconds.
    static let millisecondsMax: Int64 = 90 * 86_400_000
    /// A node that sees nobody itself, or has just started, evicts nobody: its clock may be wrong, or it is
    /// the one who was away.
    static let companyMillisecondsMax: Int64 = 86_400_000
    static let runningMillisecondsMin: Int64 = 3_600_000

    /// The members to evict.
    ///
    /// - Parameters:
    ///   - others: the members without this node.
    ///   - statements: when each was heard of last.
    ///   - linked: those with whom a session stands.
    ///   - now: Unix time in milliseconds.
    ///   - running: milliseconds since this node started.
    static func overdue(
        _ others: [Member], _ statements: [PeerStatement], linked: Set<String>, now: Int64,
        running: Int64
    ) -> [Member] {
        guard running >= runningMillisecondsMin else { return [] }
        let seen = Dictionary(statements.map { ($0.node, $0.seenMilliseconds) }) { max($0, $1) }
        let hasCompany = others.contains { member in
            member.origin != nil
                && (linked.contains(member.node)
                    || abs(now - (seen[member.node] ?? 0)) <= companyMillisecondsMax)
        }
        guard hasCompany else { return [] }
        return others.filter { member in
            guard member.origin != nil, !linked.contains(member.node), let last = seen[member.node],
                last > 0
            else { return false }
            return now - last > millisecondsMax
        }
    }
}

/// Since when a node runs, and when it looks again.
struct AbsenceWatch {
    var startedAt: Milliseconds?
    var lookAt: Milliseconds = .min
}

extension NodeService {
    /// Evicts who was not seen for 90 days. Looks once an hour.
    func evictAbsent() {
        let startedAt = absence.startedAt ?? now
        absence.startedAt = startedAt
        guard now >= absence.lookAt else { return }
        absence.lookAt = now + Absence.runningMillisecondsMin
        guard context.members.ownRole == .writer, !context.replica.isJoining else { return }
        do {
            let overdue = Absence.overdue(
                context.members.others, try context.replica.peerStatements(),
                linked: engine.connectedNodes, now: WallClock.milliseconds(),
                running: now - startedAt)
            for member in overdue {
                try context.members.evict(member.node)
                log.warning(
                    "\(member.name) was not seen for 90 days and is not waited for any more: when it "
                        + "comes back it takes a copy first")
            }
        } catch { storeFailed(error) }
    }
}

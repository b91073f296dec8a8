// Members that are met in the log of a relay alone: how they stand, and how they come to take part.

package import CausalModel
internal import Store
package import Wire

/// How the author of a transfer stands.
package enum AuthorStanding: Sendable {
    /// What it wrote is taken.
    case joined
    /// It has to take a copy before.
    case outdated
    /// Nothing of it is taken.
    case reader
}

extension SyncEngine {
    /// How this replica takes part, for others to judge.
    package var ownClaim: (joined: Dot?, continued: [Origin]) {
        (own.flatMap(ownJoin), replica.continuedOrigins)
    }

    /// How the author of a transfer stands, by the list of members and by what it says itself.
    package func standing(ofAuthor node: String, _ start: LogPart.Start) -> AuthorStanding {
        guard let known = membership?() else { return .joined }
        guard node != configuration.node else { return ownStanding(start.source, known) }
        guard known.roles[node] == .writer else { return .reader }
        let claim = Claim(
            origin: start.source, joined: start.joined, continued: start.continued)
        switch standing(of: node, known, claim) {
        case .joined: return .joined
        case .outdated: return .outdated
        case .newcomer: return .reader
        }
    }

    /// Whether the list says that a member numbers under that origin.
    package func isPresent(_ node: String, _ origin: Origin) -> Bool {
        guard let origins = membership?()?.origins else { return true }
        return origins[node] == origin
    }

    /// How an earlier life of this replica stands. What it wrote and the file does not have is taken while
    /// nobody else takes part; others may have deleted and forgotten rows since without asking it.
    private func ownStanding(_ source: Origin, _ known: Membership) -> AuthorStanding {
        let isContinued = source == own?.origin || replica.continuedOrigins.contains(source)
        let isAlone = known.origins?.keys.allSatisfy { $0 == configuration.node } ?? true
        return isContinued || isAlone ? .joined : .outdated
    }

    /// Lets a member that waits for a copy in under `origin`; true when the list says that it takes part so.
    package func letIn(_ node: String, _ origin: Origin, now: Milliseconds) -> Bool {
        guard takesPart, let known = membership?(), known.origins != nil, known.roles[node] != nil,
            known.roles[configuration.node] == .writer, node != configuration.node
        else { return false }
        if known.origins?[node] != origin { join(node, origin, now) }
        return membership?()?.origins?[node] == origin
    }

    /// Whether a linked peer can give this replica a copy.
    package var isCopyNear: Bool {
        links.values.contains {
            $0.isActive && $0.session.stated?.joined != nil && !saysItReads($0)
        }
    }

    /// Of whom alone a copy is taken.
    package func copyWanted(now: Milliseconds) -> String? {
        copyWanted.flatMap { now < $0.until ? $0.node : nil }
    }

    /// By the log of a relay, `node`, which takes part, has forgotten deletes that this replica has not seen,
    /// or knows nothing of how it takes part: it takes a copy, unless it was sent for one too often of late.
    package func foundOutdated(by node: String, now: Milliseconds) {
        guard let known = membership?(), known.origins != nil, own?.isJoining == false,
            known.roles[node] == .writer, mayBeSent(by: node, now)
        else { return }
        let text =
            "\(configuration.node.prefix(8)) has to take a copy, as \(node.prefix(8)) says in the "
            + "relay's log"
        do {
            try rejoin(because: text, sentBy: node, now)
            copyWanted = (node, now + SyncLimits.logCopyWantedMilliseconds)
        } catch {
            if !isRetryable(error) { onEvent?(.storeTrouble("\(error)")) }
        }
    }
}

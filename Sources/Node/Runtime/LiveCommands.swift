// What a running node answers beyond what its file knows: peers as they are now, and why one does
// not sync.

internal import CausalModel
internal import Store
internal import Sync

extension NodeService {
    /// One request that is answered at once.
    func answer(_ request: ControlRequest, reply: (ControlReply) -> Void) throws -> JSONValue {
        switch request.command {
        case "status":
            return try context.statusFacts(
                peers: peerFacts(),
                live: LiveFacts(
                    listen: listenAddress, problems: liveProblems, relay: relay.facts,
                    strangers: strangers.refusedCount))
        case "peers":
            return [
                "peers": .array(peerFacts().map(\.json)), "now_ms": .int(WallClock.milliseconds()),
            ]
        case "relay.leave": return try leaveRelay()
        case "invite": return try invite(request.arguments)
        case "why": return try why(request.arguments["peer"]?.string ?? "")
        case "doctor":
            return ["checks": .array(Doctor.checks(context, live: self).map(\.json))]
        default:
            // A person's command is worth a longer wait for a program's lock.
            context.replica.busyMilliseconds = Limits.busyMilliseconds
            defer { context.replica.busyMilliseconds = Limits.busyOnLoopMilliseconds }
            return try context.answer(request, reply: reply)
        }
    }

    private var liveProblems: [ProblemFact] {
        [discoveryProblem, storeProblem, journalProblem, refusalProblem, strangerProblem]
            .compactMap(\.self) + divergences + relay.problems
    }

    /// A member does not know this node's key: nobody is told that it was removed. Others may know it, those
    /// among them that it let in since.
    var strangerProblem: ProblemFact? {
        let peers = engine.peersStatus(now)
        guard let peer = peers.first(where: \.isUnknownThere) else { return nil }
        return ProblemFact(
            code: "unknown_key", message: "\(peer.name) does not know this node's key",
            remedy: peer.remedy,
            state: peers.contains { $0.state == .connected } ? "warn" : "fail")
    }

    /// Equal vectors and different contents: a defect, and never to be passed over.
    private var divergences: [ProblemFact] {
        engine.peersStatus(now).filter(\.isDivergent).map { status in
            ProblemFact(
                code: "divergence",
                message: "\(status.name) has the same changes and other contents",
                remedy: "report it with both logs; a fresh copy of one of the files repairs it",
                state: "fail")
        }
    }

    /// Every peer that is known: connected, dialled, or met before.
    func peerFacts() -> [PeerFact] {
        let wall = WallClock.milliseconds()
        let now = now
        var facts: [PeerFact] = []
        var seen: Set<String> = []
        var statements: [PeerStatement] = []
        do { statements = try context.replica.peerStatements() } catch { noteIfDiskFailed(error) }
        for status in engine.peersStatus(now) where status.state != .isSelf {
            if let node = status.node { seen.insert(node) }
            let stored = statements.first { $0.node == status.node }
            facts.append(fact(status, stored?.vector, stored?.seenMilliseconds, wall, now))
        }
        for statement in statements where !seen.contains(statement.node) {
            let distances = context.distances(to: statement.node, statement.vector)
            facts.append(
                PeerFact(
                    node: statement.node,
                    name: context.name(of: statement.node, else: statement.name), state: "offline",
                    behind: distances.behind, ahead: distances.ahead,
                    lastSeen: statement.seenMilliseconds > 0 ? statement.seenMilliseconds : nil))
        }
        return facts
    }

    private func fact(
        _ status: PeerStatus, _ stated: VersionVector?, _ seen: Int64?, _ wall: Int64,
        _ now: Milliseconds
    ) -> PeerFact {
        var fact = PeerFact(node: status.node, name: status.name, state: "waiting")
        fact.address = status.addresses.first?.description
        if let node = status.node { fact.name = context.name(of: node, else: fact.name) }
        if fact.name.isEmpty {
            fact.name = status.node.map { String($0.prefix(8)) } ?? fact.address ?? "unknown"
        }
        let distances = stated.map { context.distances(to: status.node ?? "", $0) }
        fact.behind = status.behind.map { Int64(clamping: $0) } ?? distances?.behind
        fact.ahead = status.ahead.map { Int64(clamping: $0) } ?? distances?.ahead
        let isBusy = (fact.behind ?? 0) > 0 || (fact.ahead ?? 0) > 0 || !status.progress.isEmpty
        switch status.state {
        case .connected: fact.state = isBusy ? "syncing" : "connected"
        case .connecting: fact.state = "connecting"
        case .refused: fact.state = "refused"
        case .known: fact.state = "offline"
        default: fact.state = "waiting"
        }
        fact.lastSeen =
            status.lastSeenAt.map { wall - (now - $0) } ?? seen.flatMap { $0 > 0 ? $0 : nil }
        fact.lastError = status.lastError
        fact.remedy = status.remedy
        fact.retries = Int64(status.retries)
        fact.nextTry = status.nextTryAt.map { wall + max(0, $0 - now) }
        fact.isDivergent = status.isDivergent
        return fact
    }

    /// Of a member that was let in and never came: what keeps rows pending, and how that ends.
    func unseenRemedy(_ peer: PeerFact) -> String? {
        guard peer.isNeverSeen, let node = peer.node,
            let member = context.members.byNode[node]
        else { return nil }
        // Others may have seen it: only what a peer states itself is believed.
        return
            "\(member.name) was let in and has never been seen by this node, which knows of nothing "
            + "there: start its node, or, if no other member has seen it and it will not come, "
            + "`starling members remove \(member.name)`"
    }

    // MARK: why

    /// Explains one peer in the order in which a connection is made.
    private func why(_ text: String) throws -> JSONValue {
        let wanted = text.asciiLowercased
        let found = peerFacts().first { peer in
            peer.name.asciiLowercased == wanted || peer.address == text
                || (wanted.count >= 4 && peer.node?.hasPrefix(wanted) ?? false)
        }
        guard let peer = found else {
            throw NodeError(
                .notFound,
                "no peer \(text) is known: see `starling peers`; let it in with `starling invite`, or "
                    + "name its address with --peer")
        }
        let isLinked = peer.state == "connected" || peer.state == "syncing"
        var checks: [DoctorCheck] = []
        checks.append(
            peer.address != nil || isLinked
                ? DoctorCheck("found", .ok, "its address is \(peer.address ?? "known")")
                : DoctorCheck(
                    "found", .fail, "no address of it is known",
                    remedy: discoveryProblem?.message ?? unseenRemedy(peer)
                        ?? "start the node there, or name it here with --peer HOST:PORT"))
        if isLinked {
            checks.append(DoctorCheck("answered", .ok, "the connection stands"))
        } else if peer.state == "refused" {
            checks.append(
                DoctorCheck(
                    "accepted", .fail, peer.lastError ?? "one of the two refuses the other",
                    remedy: peer.remedy))
        } else if peer.address != nil {
            let tries = "after \(peer.retries) tries"
            checks.append(
                DoctorCheck(
                    "answered", .fail, "\(peer.lastError ?? "it does not answer") (\(tries))",
                    remedy: peer.remedy
                        ?? "check that it runs, and that no firewall is between the two; "
                        + "`starling sync` tries again now"))
        }
        if isLinked {
            let behind = peer.behind ?? 0
            let ahead = peer.ahead ?? 0
            checks.append(
                peer.isDivergent
                    ? DoctorCheck(
                        "content", .fail, "equal changes, different contents", remedy: peer.remedy)
                    : behind + ahead == 0
                        ? DoctorCheck("content", .ok, "both have everything")
                        : DoctorCheck(
                            "content", .warn, "\(behind) changes to send, \(ahead) to receive"))
        }
        let isSynced = isLinked && !peer.isDivergent && (peer.behind ?? 1) + (peer.ahead ?? 1) == 0
        let first = checks.first { $0.state != .ok }
        let summary =
            isSynced
            ? "\(peer.name) is in sync with this node."
            : "\(peer.name) does not sync: \(first?.message ?? "the exchange goes on")."
        return [
            "peer": peer.json, "synced": .bool(isSynced), "summary": .string(summary),
            "checks": .array(checks.map(\.json)),
        ]
    }
}

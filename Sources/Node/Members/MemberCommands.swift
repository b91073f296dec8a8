// `members` and what changes them: the same whether the node runs or not.

internal import CausalModel
internal import Store
internal import Sync
internal import Trust

extension NodeContext {
    func membersFacts() throws -> JSONValue {
        try members.look()
        let statements = try replica.peerStatements()
        var all = members.others
        if let own = members.byNode[identity.node] { all.insert(own, at: 0) }
        let facts: [JSONValue] = all.map { member in
            let seen = statements.first { $0.node == member.node }?.seenMilliseconds
            return [
                "node": .string(member.node), "name": .string(member.name),
                "role": .string(member.role.rawValue),
                "fingerprint": .string(member.key.fingerprint), "key": .string(member.key.hex),
                "introducer": .string(member.introducer),
                "introducer_name": JSONValue(optional: members.byNode[member.introducer]?.name),
                "since_ms": .int(member.sinceMilliseconds),
                "last_seen_ms": JSONValue(optional: seen.flatMap { $0 > 0 ? $0 : nil }),
                "takes_part": .bool(member.origin != nil),
                "self": .bool(member.node == identity.node),
            ]
        }
        let wall = WallClock.milliseconds()
        let open: [JSONValue] = try InvitationBook(of: home).open(now: wall).map { given in
            [
                "id": .string(given.id), "name": JSONValue(optional: given.name),
                "role": .string(given.role.rawValue), "expires_ms": .int(given.expiresMilliseconds),
            ]
        }
        return [
            "members": .array(facts), "invitations": .array(open),
            "node": .string(identity.node), "fingerprint": .string(members.own.fingerprint),
            "role": JSONValue(optional: members.ownRole?.rawValue), "now_ms": .int(wall),
        ]
    }

    /// A member by its node, the beginning of it, or its name.
    private func findMember(_ text: String) throws -> Member {
        try members.look()
        let wanted = text.asciiLowercased
        let found = members.byNode.values.filter { member in
            (wanted.count >= 4 && member.node.hasPrefix(wanted))
                || member.name.asciiLowercased == wanted
        }
        guard found.count < 2 else {
            throw NodeError(
                .usage,
                "\(found.count) members are called \(text): name one by its node, as "
                    + "`starling members` prints it")
        }
        guard let member = found.first else {
            throw NodeError(.notFound, "no member is called \(text): see `starling members`")
        }
        return member
    }

    func removeMember(_ arguments: JSONObject) throws -> JSONValue {
        let member = try findMember(arguments["node"]?.string ?? "")
        guard member.node != identity.node else {
            throw NodeError(
                .refused,
                "a node cannot remove itself: run this on another member, which then tells the rest"
            )
        }
        try members.remove(member.node)
        try keys.beginEpoch()
        return ["node": .string(member.node), "name": .string(member.name), "action": "removed"]
    }

    func renameMember(_ arguments: JSONObject) throws -> JSONValue {
        let member = try findMember(arguments["node"]?.string ?? "")
        let name = try Identity.checkedName(arguments["name"]?.string ?? "")
        try members.set("name", name, of: member.node)
        return ["node": .string(member.node), "name": .string(name), "action": "renamed"]
    }

    func evictMember(_ arguments: JSONObject) throws -> JSONValue {
        let member = try findMember(arguments["node"]?.string ?? "")
        guard member.node != identity.node else {
            throw NodeError(.refused, "a node does not wait for itself: name another member")
        }
        try members.evict(member.node)
        return ["node": .string(member.node), "name": .string(member.name), "action": "evicted"]
    }

    /// How many deleted rows are kept, and for whom.
    func deletedRowFacts() throws -> JSONValue {
        let group = members.membership.stabilityGroup(without: identity.node)
        let facts = try replica.deletedRowFacts(group)
        let names = facts.waitsFor.map { JSONValue.string(members.byNode[$0]?.name ?? $0) }
        return ["kept": .int(Int64(facts.rows)), "waits_for": .array(names)]
    }

    func setMemberRole(_ arguments: JSONObject) throws -> JSONValue {
        let member = try findMember(arguments["node"]?.string ?? "")
        guard let role = arguments["role"]?.string.flatMap(Membership.Role.init(rawValue:)) else {
            throw NodeError(.usage, "a role is writer or reader")
        }
        guard member.node != identity.node || role == .writer else {
            throw NodeError(
                .refused, "a node cannot make itself a reader: run this on another member")
        }
        try members.setRole(role, of: member.node)
        return [
            "node": .string(member.node), "name": .string(member.name),
            "role": .string(role.rawValue), "action": "changed",
        ]
    }

    /// Lets in a key that was carried here by other means than an invitation.
    func addMember(_ arguments: JSONObject) throws -> JSONValue {
        guard let key = arguments["key"]?.string.flatMap(PublicKey.init(hex:)) else {
            throw NodeError(.usage, "a key is 64 hexadecimal digits")
        }
        let role = arguments["role"]?.string.flatMap(Membership.Role.init(rawValue:)) ?? .writer
        let member = Member(
            key: key, name: try Identity.checkedName(arguments["name"]?.string ?? "node"),
            role: role, introducer: identity.node, sinceMilliseconds: WallClock.milliseconds())
        guard key != members.own else { throw NodeError(.usage, "that is this node's own key") }
        guard try !members.wasRemoved(member.node) else {
            throw NodeError(
                .refused,
                "this key was removed from the group, and is nobody's any more: let the machine join "
                    + "with a new home folder, by `starling invite`")
        }
        try members.admit(member, founder: name)
        return [
            "node": .string(member.node), "name": .string(member.name), "action": "added",
            "group": .string(identity.group), "key": .string(members.own.hex),
            "inviter": .string(name),
        ]
    }

    /// What this reader wrote and nobody takes.
    func refusedChanges() throws -> UInt64 {
        guard members.ownRole == .reader else { return 0 }
        let known = try replica.peerStatements().map { $0.vector[replica.origin] }.max() ?? 0
        let own = replica.vector[replica.origin]
        return own > known ? own - known : 0
    }
}

// The commands about who belongs to the group.

import Node

extension OptionSpec {
    static let invited = OptionSpec(
        name: "--for", placeholder: "NAME",
        help: "what the newcomer is called, unless it says itself")
    static let lifetime = OptionSpec(
        name: "--ttl", placeholder: "TIME", kind: .lifetime,
        help: "how long it can be used, such as 90s, 10m, 2h, 7d; the default is 10m")
    static let reader = OptionSpec(
        name: "--reader", help: "the newcomer gets everything, and nothing is taken from it")
    static let nearby = OptionSpec(
        name: "--nearby",
        help: "no line: wait for `starling join` on a machine beside this one, and compare codes")
    static let confirm = OptionSpec(
        name: "--confirm", placeholder: "CODE",
        help: "from elsewhere: the other screen shows CODE, let that machine in")
    static let deny = OptionSpec(
        name: "--deny", help: "from elsewhere: the codes differ, or it is nobody's machine")
    static let revoke = OptionSpec(
        name: "--revoke", help: "make the open invitation ID, or without one all of them, useless")
}

extension OperandSpec {
    static let member = OperandSpec(
        placeholder: "NODE", help: "a member's name, node or the beginning of it")
}

extension CommandSpec {
    static let invite = CommandSpec(
        path: ["invite"], summary: "let another machine in: a line to paste there, once",
        discussion: """
            Prints an invitation for `starling join`, and the same as a QR code. It works once, until it
            expires. Give it to nobody else: whoever uses it first is a member.

            With --nearby there is no line to carry: while the command runs, `starling join` on another
            machine of this network asks, both screens show a code of six digits, and whoever sees both
            says here whether they are the same. One machine is let in; after three codes that nobody
            confirmed it ends. --confirm and --deny answer from another terminal or from a script.
            """,
        options: [.invited, .lifetime, .reader, .nearby, .confirm, .deny, .revoke],
        operands: [
            OperandSpec(
                placeholder: "ID", arity: .optional, help: "with --revoke: which invitation")
        ],
        examples: [
            "starling invite --for Van", "starling invite --for Tablet --reader --ttl 1h",
            "starling invite --nearby --for Van", "starling invite --revoke",
        ],
        action: .control(
            ControlPlan(
                command: "invite",
                arguments: { (invocation) throws(UsageError) in try inviteArguments(invocation) },
                view: { InviteView() })))

    private static func inviteArguments(
        _ invocation: Invocation
    ) throws(UsageError) -> JSONObject {
        func refused(_ message: String) -> UsageError {
            UsageError(message: message, command: "invite")
        }
        let id = invocation.operands.first
        guard id == nil || invocation.has(.revoke) else {
            throw refused("an ID goes with --revoke only")
        }
        let ways = [OptionSpec.nearby, .confirm, .deny, .revoke].filter { invocation.has($0) }
        guard ways.count < 2 else { throw refused("\(ways[0].name) goes without \(ways[1].name)") }
        if let way = ways.first, way != .nearby {
            let other = [OptionSpec.invited, .lifetime, .reader].first { invocation.has($0) }
            if let other { throw refused("\(other.name) goes without \(way.name)") }
        }
        let code = invocation.value(.confirm)
        guard code.map({ CodeTranscript.isCode($0) }) ?? true else {
            throw refused("--confirm needs the six digits that the other screen shows")
        }
        let lifetime = invocation.value(.lifetime).flatMap(ValueKind.milliseconds)
        var arguments: JSONObject = [
            "name": JSONValue(optional: invocation.value(.invited)),
            "ttl_ms": JSONValue(optional: lifetime),
            "reader": .bool(invocation.has(.reader)),
            "revoke": .bool(invocation.has(.revoke)), "id": JSONValue(optional: id),
        ]
        // Said only where it is meant, so that an older node is asked in words that it knows.
        if invocation.has(.nearby) { arguments.append("nearby", true) }
        if let code { arguments.append("confirm", .string(code)) }
        if invocation.has(.deny) { arguments.append("deny", true) }
        return arguments
    }

    static let join = CommandSpec(
        path: ["join"], summary: "become a member of the group that invited this machine",
        discussion: """
            LINE is what `starling invite` printed on the other machine; "-" reads it from standard input.
            Makes the home folder, or takes that of a node that is alone yet. Finds the other machine on
            this network or at the addresses in the invitation.

            Without LINE it asks the machine of this network on which `starling invite --nearby` runs: both
            screens show a code of six digits, and somebody who sees both confirms it there. A node that
            has tables already needs a LINE. If the codes differ, say no there: somebody stands between
            the two.
            """,
        options: [.database, .name, .invitedPeer, .noLooking],
        operands: [
            OperandSpec(
                placeholder: "LINE", arity: .optional,
                help: "the invitation; without it, compare a code with a machine nearby")
        ],
        examples: [
            "starling join STARLING1-…", "starling join --name Van",
            "starling join STARLING1-… --db ~/jobs.db --name Van",
        ],
        action: .join)

    static let members = CommandSpec(
        path: ["members"], summary: "who belongs to the group, and open invitations",
        action: .control(
            ControlPlan(command: "members", withoutNode: true, view: { MembersView() })))

    static let membersRemove = CommandSpec(
        path: ["members", "remove"], summary: "remove a member: it gets nothing more, on all nodes",
        discussion: """
            Every other member learns of it from any member. What the removed machine has, it keeps. It can
            come back only by a new invitation.
            """,
        operands: [.member],
        action: .control(
            ControlPlan(
                command: "members.remove", withoutNode: true,
                arguments: { (invocation) throws(UsageError) in
                    ["node": .string(invocation.operands[0])]
                },
                view: { MemberChangeView() })))

    static let membersEvict = CommandSpec(
        path: ["members", "evict"],
        summary: "wait for a member no longer: deleted rows are not kept for it",
        discussion: """
            It stays a member. When it comes back it takes a copy of the group's data first, and what it
            wrote meanwhile is issued again: nothing is lost. Whom nobody has seen for 90 days is evicted by
            a node that sees others.
            """,
        operands: [.member],
        action: .control(
            ControlPlan(
                command: "members.evict", withoutNode: true,
                arguments: { (invocation) throws(UsageError) in
                    ["node": .string(invocation.operands[0])]
                },
                view: { MemberChangeView() })))

    static let membersRename = CommandSpec(
        path: ["members", "rename"], summary: "call a member something else, on all nodes",
        operands: [.member, OperandSpec(placeholder: "NAME", help: "the new name")],
        action: .control(
            ControlPlan(
                command: "members.rename", withoutNode: true,
                arguments: { (invocation) throws(UsageError) in
                    [
                        "node": .string(invocation.operands[0]),
                        "name": .string(invocation.operands[1]),
                    ]
                },
                view: { MemberChangeView() })))

    static let membersRole = CommandSpec(
        path: ["members", "role"], summary: "make a member a writer or a reader, on all nodes",
        operands: [
            .member,
            OperandSpec(
                placeholder: "ROLE", kind: .choice(["writer", "reader"]), help: "writer or reader"),
        ],
        action: .control(
            ControlPlan(
                command: "members.role", withoutNode: true,
                arguments: { (invocation) throws(UsageError) in
                    [
                        "node": .string(invocation.operands[0]),
                        "role": .string(invocation.operands[1]),
                    ]
                },
                view: { MemberChangeView() })))
}

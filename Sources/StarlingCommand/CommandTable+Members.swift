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
            """,
        options: [.invited, .lifetime, .reader, .revoke],
        operands: [
            OperandSpec(
                placeholder: "ID", arity: .optional, help: "with --revoke: which invitation")
        ],
        examples: [
            "starling invite --for Van", "starling invite --for Tablet --reader --ttl 1h",
            "starling invite --revoke",
        ],
        action: .control(
            ControlPlan(
                command: "invite",
                arguments: { (invocation) throws(UsageError) in
                    let id = invocation.operands.first
                    guard id == nil || invocation.has(.revoke) else {
                        throw UsageError(
                            message: "an ID goes with --revoke only", command: "invite")
                    }
                    let lifetime = invocation.value(.lifetime).flatMap(ValueKind.milliseconds)
                    return [
                        "name": JSONValue(optional: invocation.value(.invited)),
                        "ttl_ms": JSONValue(optional: lifetime),
                        "reader": .bool(invocation.has(.reader)),
                        "revoke": .bool(invocation.has(.revoke)), "id": JSONValue(optional: id),
                    ]
                },
                view: { InviteView() })))

    static let join = CommandSpec(
        path: ["join"], summary: "become a member of the group that invited this machine",
        discussion: """
            LINE is what `starling invite` printed on the other machine; "-" reads it from standard input.
            Makes the home folder, or takes that of a node that is alone yet. Finds the other machine on
            this network or at the addresses in the invitation.
            """,
        options: [.database, .name, .invitedPeer, .noLooking],
        operands: [OperandSpec(placeholder: "LINE", help: "the invitation")],
        examples: [
            "starling join STARLING1-…", "starling join STARLING1-… --db ~/jobs.db --name Van",
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

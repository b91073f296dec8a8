// The commands that ask a node: over its socket while it runs, from the file where that makes
// sense.

import Node

extension OperandSpec {
    static let tables = OperandSpec(
        placeholder: "TABLE", arity: .many(0), help: "a table of the file")
    static let conflict = OperandSpec(
        placeholder: "ID", help: "the id that `starling conflicts` prints")
}

extension CommandSpec {
    static let track = CommandSpec(
        path: ["track"], summary: "start keeping tables the same",
        discussion: """
            Prints for each table what has to be known about it. A table without a key that can
            be synced is refused with the reason; the others are tracked all the same.
            """,
        options: [.all, .deleteWins], operands: [.tables],
        examples: ["starling track --all", "starling track jobs customers"],
        action: .control(
            ControlPlan(
                command: "track", withoutNode: true, silenceMilliseconds: nil,
                arguments: { (invocation) throws(UsageError) in
                    var arguments = try tables(invocation)
                    arguments["delete_wins"] = .bool(invocation.has(.deleteWins))
                    return arguments
                },
                view: { TrackView() })))

    static let untrack = CommandSpec(
        path: ["untrack"], summary: "stop keeping tables the same; their rows stay",
        options: [.all], operands: [.tables],
        action: .control(
            ControlPlan(
                command: "untrack", withoutNode: true, silenceMilliseconds: nil,
                arguments: { (invocation) throws(UsageError) in try tables(invocation) },
                view: { TrackView() })))

    /// `TABLE…` or `--all`, and not both.
    private static func tables(_ invocation: Invocation) throws(UsageError) -> JSONObject {
        let all = invocation.has(.all)
        guard all != !invocation.operands.isEmpty else {
            throw UsageError(
                message: all
                    ? "name tables or say --all, not both" : "name tables, or say --all",
                command: invocation.command.name)
        }
        return ["tables": .array(invocation.operands.map(JSONValue.string)), "all": .bool(all)]
    }

    static let status = CommandSpec(
        path: ["status"], summary: "in sync, with whom, what waits, what is wrong",
        action: .control(
            ControlPlan(command: "status", withoutNode: true, view: { StatusView() })))

    static let peers = CommandSpec(
        path: ["peers"], summary: "every peer",
        action: .control(
            ControlPlan(command: "peers", withoutNode: true, view: { PeersView() })))

    static let why = CommandSpec(
        path: ["why"], summary: "why a peer does not sync, and the remedy",
        operands: [OperandSpec(placeholder: "PEER", help: "its name, node or address")],
        action: .control(
            ControlPlan(
                command: "why",
                arguments: { (invocation) throws(UsageError) in
                    ["peer": .string(invocation.operands[0])]
                },
                view: { WhyView() })))

    static let sync = CommandSpec(
        path: ["sync"], summary: "exchange now, without waiting for the next try",
        action: .control(
            ControlPlan(command: "sync", silenceMilliseconds: 120_000, view: { SyncView() })))

    static let wait = CommandSpec(
        path: ["wait"], summary: "wait until everything is everywhere",
        options: [.synced, .timeout],
        examples: ["starling wait --synced --timeout 30 && echo safe to close the lid"],
        action: .control(
            ControlPlan(
                command: "wait", silenceMilliseconds: nil,
                arguments: { (invocation) throws(UsageError) in
                    let seconds = invocation.value(.timeout).flatMap(Double.init)
                    return [
                        "synced": true,
                        "timeout_ms": JSONValue(optional: seconds.map { Int64($0 * 1000) }),
                    ]
                },
                view: { WaitView() })))

    static let records = CommandSpec(
        path: ["records"], summary: "each row of a table: its key, its state, who has it",
        discussion: """
            saved: only here. refused: only here, as this node is a reader. relayed: in the relay's log, and
            not on every known peer. pending: on some of the known peers, and not on all of them. synced:
            on every known peer. conflicted: other values are kept beside it.
            parked: a constraint refuses to show it.
            """,
        options: [.state], operands: [OperandSpec(placeholder: "TABLE", help: "a synced table")],
        action: .control(
            ControlPlan(
                command: "records", withoutNode: true, silenceMilliseconds: 120_000,
                arguments: { (invocation) throws(UsageError) in
                    [
                        "table": .string(invocation.operands[0]),
                        "state": JSONValue(optional: invocation.value(.state)),
                    ]
                },
                view: { RecordsView() })))

    static let conflicts = CommandSpec(
        path: ["conflicts"], summary: "what concurrent writes left beside what is shown",
        action: .control(
            ControlPlan(command: "conflicts", withoutNode: true, view: { ConflictsView() })))

    static let conflictsShow = conflict(
        "show", "one conflict with everything that is kept"
    ) { ConflictView() }
    static let conflictsRestore = conflict(
        "restore", "show what was kept, on all nodes"
    ) { SettledView() }
    static let conflictsDismiss = conflict(
        "dismiss", "keep what is shown, on all nodes"
    ) { SettledView() }

    private static func conflict(
        _ verb: String, _ summary: String, view: @escaping @Sendable () -> any ReplyView
    ) -> CommandSpec {
        CommandSpec(
            path: ["conflicts", verb], summary: summary, operands: [.conflict],
            action: .control(
                ControlPlan(
                    command: "conflicts.\(verb)", withoutNode: true,
                    arguments: { (invocation) throws(UsageError) in
                        ["id": .string(invocation.operands[0])]
                    },
                    view: view)))
    }

    static let digest = CommandSpec(
        path: ["digest"], summary: "one line over all synced content, equal on equal nodes",
        action: .control(
            ControlPlan(
                command: "digest", withoutNode: true, silenceMilliseconds: 120_000,
                view: { DigestView() })))

    static let watch = CommandSpec(
        path: ["watch"], summary: "changes as they land, one JSON line each",
        discussion: """
            Runs until Ctrl-C. Each line carries "since": given to --since, it goes on there.
            Without a running node it prints what is new since then, and ends.
            """,
        options: [.since], operands: [.tables],
        examples: ["starling watch jobs", "starling watch --since 1893"],
        action: .control(
            ControlPlan(
                command: "watch", withoutNode: true, silenceMilliseconds: nil,
                arguments: { (invocation) throws(UsageError) in
                    [
                        "tables": .array(invocation.operands.map(JSONValue.string)),
                        "since": JSONValue(optional: invocation.value(.since)),
                    ]
                },
                view: { WatchView() })))

    static let doctor = CommandSpec(
        path: ["doctor"], summary: "check file, triggers, versions, Avahi, ports, clock",
        action: .control(
            ControlPlan(
                command: "doctor", withoutNode: true, silenceMilliseconds: 120_000,
                view: { DoctorView() })))

    static let backup = CommandSpec(
        path: ["backup"], summary: "a consistent copy that is safe to restore or to clone",
        operands: [OperandSpec(placeholder: "FILE", kind: .file, help: "the copy; must not exist")],
        action: .control(
            ControlPlan(
                command: "backup", withoutNode: true, silenceMilliseconds: nil,
                arguments: { (invocation) throws(UsageError) in
                    let file = Path.absolute(invocation.operands[0], in: Path.currentFolder())
                    return ["file": .string(file)]
                },
                view: { BackupView() })))
}

// Every command of `starling`: the one declaration behind its parsing, its help and its
// completions.

import Node

extension OptionSpec {
    static let database = OptionSpec(
        name: "--db", placeholder: "FILE", kind: .file,
        help: "the SQLite file; the default is data.db in the home folder")
    static let name = OptionSpec(
        name: "--name", placeholder: "NAME",
        help: "what others call this node; the default is the machine's name")
    static let all = OptionSpec(name: "--all", help: "every table of the file")
    static let deleteWins = OptionSpec(
        name: "--delete-wins",
        help: "a delete beats a concurrent update (otherwise the update keeps the row)")
    static let listen = OptionSpec(
        name: "--listen", placeholder: "HOST:PORT", kind: .address,
        help: "listen here and nowhere else")
    static let peer = OptionSpec(
        name: "--peer", placeholder: "HOST:PORT", kind: .address, repeats: true,
        help: "dial this address too; can be repeated")
    static let invitedPeer = OptionSpec(
        name: "--peer", placeholder: "HOST:PORT", kind: .address, repeats: true,
        help: "look for the inviter there, in place of the addresses in the invitation or any other"
    )
    static let noLooking = OptionSpec(
        name: "--no-discovery", help: "do not look for the inviter on the network")
    static let noDiscovery = OptionSpec(
        name: "--no-discovery", help: "do not announce this node and do not look for others")
    static let synced = OptionSpec(
        name: "--synced",
        help: "until everything written here is on every connected peer, and theirs here")
    static let timeout = OptionSpec(
        name: "--timeout", placeholder: "SECONDS", kind: .seconds,
        help: "give up after this time, with exit code 4")
    static let state = OptionSpec(
        name: "--state", placeholder: "STATE",
        kind: .choice([
            "saved", "refused", "relayed", "pending", "synced", "conflicted", "parked",
        ]),
        help: "only rows in this state")
    static let since = OptionSpec(
        name: "--since", placeholder: "TOKEN",
        help: "go on behind the change that carried this token in \"since\"")
    static let rows = OptionSpec(
        name: "--rows", placeholder: "N", kind: .count(100...10_000_000),
        help: "rows to measure with; the default is \(BenchOptions.rowsDefault)")
}

extension CommandSpec {
    static let table: [CommandSpec] = [
        initialize, invite, join, members, membersRemove, membersEvict, membersRename, membersRole,
        track,
        untrack, run, status, peers, why, sync, wait, records, conflicts,
        conflictsShow, conflictsRestore, conflictsDismiss, digest, watch, doctor, backup, demo,
        bench, relay, relayJoin, relayLeave, relayServe, relayToken, relayGroups, relayUsage,
        relayDelete, completions, help,
    ]

    static let initialize = CommandSpec(
        path: ["init"], summary: "make a new node",
        discussion: """
            Makes the home folder with a key and a commented configuration, and prepares the database.
            The first node of a group is made so; the others join it with `starling join`.
            """,
        options: [.database, .name],
        examples: ["starling init --db ~/jobs.db --name Workshop"],
        action: .initialize)

    static let run = CommandSpec(
        path: ["run"], summary: "run the node in the foreground, until Ctrl-C or SIGTERM",
        discussion: """
            Logs go to standard error. What is given here comes on top of the configuration in
            config.json5 of the home folder.
            """,
        options: [.listen, .peer, .noDiscovery], printsFacts: false,
        examples: ["starling run", "starling run --listen 127.0.0.1:0 --peer 192.168.1.20:7878"],
        action: .run)

    static let demo = CommandSpec(
        path: ["demo"], summary: "three nodes on this machine, the cable cut, and the merge",
        discussion: "Uses a temporary folder and touches nothing of yours. Takes under 30 seconds.",
        action: .demo)

    static let bench = CommandSpec(
        path: ["bench"], summary: "measure this machine, each figure against plain SQLite",
        options: [.rows], action: .bench)

    static let completions = CommandSpec(
        path: ["completions"], summary: "print the completions for a shell",
        operands: [
            OperandSpec(placeholder: "SHELL", kind: .choice(["bash", "zsh"]), help: "bash or zsh")
        ],
        printsFacts: false,
        examples: [
            "eval \"$(starling completions bash)\"",
            "starling completions zsh > ~/.zfunc/_starling",
        ],
        action: .completions)

    static let help = CommandSpec(
        path: ["help"], summary: "explain the program or one command",
        operands: [
            OperandSpec(placeholder: "COMMAND", arity: .many(0), help: "the command to explain")
        ],
        printsFacts: false, action: .help)
}

// The commands of somebody who runs a relay. They need no home folder: a relay is no node.

import Node

/// What is done with a relay.
enum RelayAction: Sendable {
    case overview, serve, token, groups, usage, delete
}

extension OptionSpec {
    static let relayListen = OptionSpec(
        name: "--listen", placeholder: "HOST:PORT", kind: .address,
        help: "where to serve; the default is 127.0.0.1:7879, for a proxy on this machine")
    static let relayStore = OptionSpec(
        name: "--store", placeholder: "FILE", kind: .file,
        help: "the SQLite file that keeps the log; the default is relay.db in this folder")
    static let relayPostgres = OptionSpec(
        name: "--postgres", placeholder: "URL",
        help: "a PostgreSQL database in place of a file: postgresql://USER@HOST/NAME")
    static let relayConfiguration = OptionSpec(
        name: "--config", placeholder: "FILE", kind: .file,
        help: "the settings, as in Config/relay.json5; what is given beside it comes first")
    static let relayOpen = OptionSpec(
        name: "--open", help: "let everybody enrol a group, without a token")
    static let certificate = OptionSpec(
        name: "--certificate", placeholder: "FILE", kind: .file,
        help: "serve HTTPS with this chain of certificates (PEM)")
    static let certificateKey = OptionSpec(
        name: "--key", placeholder: "FILE", kind: .file, help: "the key of the certificate (PEM)")
    static let tokenLifetime = OptionSpec(
        name: "--ttl", placeholder: "TIME", kind: .lifetime,
        help: "how long it can be used, such as 10m, 2h, 7d; the default is 1d")
    static let tokenUses = OptionSpec(
        name: "--uses", placeholder: "N", kind: .count(1...1_000_000),
        help: "how many groups it can enrol; the default is 1")
    static let tokenRevoke = OptionSpec(
        name: "--revoke", help: "make all open tokens useless, and no new one")

    fileprivate static let relayPlace = [relayStore, relayPostgres, relayConfiguration]
}

extension OperandSpec {
    fileprivate static let relayGroup = OperandSpec(
        placeholder: "GROUP", help: "the group's id, as starling relay groups prints it")
}

extension CommandSpec {
    static let relay = CommandSpec(
        path: ["relay"], summary: "run a relay, which forwards what it cannot read",
        discussion: """
            A relay keeps a log of encrypted entries for each group, for nodes that never meet on one network.
            Anybody can run one; it knows sizes and times, and nothing else.
            """,
        printsFacts: false, action: .relay(.overview))

    static let relayServe = CommandSpec(
        path: ["relay", "serve"], summary: "serve in the foreground, until Ctrl-C or SIGTERM",
        discussion: """
            Logs go to standard error. One process has a SQLite file; any number of processes can have one
            PostgreSQL database. Without a certificate it speaks plain HTTP: put a proxy with TLS before it.

            Groups enrol with a token of `starling relay token`, or freely with --open.
            """,
        options: [.relayListen] + OptionSpec.relayPlace + [
            .relayOpen, .certificate, .certificateKey,
        ],
        printsFacts: false,
        examples: [
            "starling relay serve --store /var/lib/starling-relay/relay.db",
            "starling relay serve --config /etc/starling-relay.json5",
            "starling relay serve --listen [::]:443 --certificate chain.pem --key key.pem",
        ],
        action: .relay(.serve))

    static let relayToken = CommandSpec(
        path: ["relay", "token"], summary: "print a token with which a group can be enrolled",
        discussion: """
            The relay keeps only a hash of it. Works on the store directly, also while the relay runs.
            """,
        options: [.tokenUses, .tokenLifetime, .tokenRevoke] + OptionSpec.relayPlace,
        examples: ["starling relay token --uses 5 --ttl 7d --config /etc/starling-relay.json5"],
        action: .relay(.token))

    static let relayGroups = CommandSpec(
        path: ["relay", "groups"], summary: "the groups of a relay, those that use most first",
        options: OptionSpec.relayPlace, action: .relay(.groups))

    static let relayUsage = CommandSpec(
        path: ["relay", "usage"], summary: "what all groups of a relay use, or one of them",
        options: OptionSpec.relayPlace,
        operands: [
            OperandSpec(
                placeholder: "GROUP", arity: .optional, help: "the group's id; without it, all")
        ],
        action: .relay(.usage))

    static let relayDelete = CommandSpec(
        path: ["relay", "delete"], summary: "remove a group from a relay, with all it stored",
        discussion: """
            Members lose nothing that they have. They are refused from now on, unless they enrol again.
            """,
        options: OptionSpec.relayPlace, operands: [.relayGroup],
        examples: ["starling relay delete 0123456789abcdef0123456789abcdef"],
        action: .relay(.delete))
}

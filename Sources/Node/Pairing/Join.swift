// `starling join`: an invitation becomes a home folder of a member.

internal import CausalModel
internal import Store
internal import Sync
internal import Trust

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// `starling join`.
package struct JoinOptions: Sendable, Equatable {
    package var home: Home
    /// The line that `starling invite` printed.
    package var invitation: String
    /// Absolute; nil is `data.db` in the home folder.
    package var database: String?
    /// nil is what the invitation says, else the machine's name.
    package var name: String?
    /// Tried in place of the addresses of the invitation.
    package var peers: [HostPort]
    /// False for `--no-discovery`.
    package var discovery: Bool

    package init(
        home: Home, invitation: String, database: String? = nil, name: String? = nil,
        peers: [HostPort] = [], discovery: Bool = true
    ) {
        self.home = home
        self.invitation = invitation
        self.database = database
        self.name = name
        self.peers = peers
        self.discovery = discovery
    }
}

extension NodeCommands {
    /// Pairs with the inviter, then makes the home folder, or takes the one of a node that is alone.
    /// Returns what `initialize` returns, and the inviter.
    package static func join(_ options: JoinOptions, say: (String) -> Void) throws -> JSONValue {
        let invitation = try Invitation(line: options.invitation)
        let home = options.home
        let isNew = !Path.exists(home.identityPath)
        if !isNew { try checkAlone(home, options) }
        do { try Path.makeFolder(home.path) } catch {
            throw NodeError(
                .badHome, error.explain("cannot make the home folder \(home.path)"), cause: error)
        }
        let key = try home.makeKey()
        guard key.publicKey != invitation.inviter else {
            throw NodeError(.refused, "this node made the invitation itself: use it on another")
        }
        let wanted =
            try options.name.map(Identity.checkedName)
            ?? (isNew ? nil : (try home.identity()).name)
        let (answer, address) = try withoutActuallyEscaping(say) { say in
            try Joining(invitation, key: key, name: wanted, say: say)
                .run(first: options.peers, looksAround: options.discovery)
        }
        let role = answer.role == .reader ? ", as a reader" : ""
        say("\(answer.inviter) let this node in\(role): \(answer.name) is a member now.")
        let introducer = Introducer(key: invitation.inviter, name: answer.inviter)
        return try settle(options, answer, introducer, address, isNew: isNew)
    }

    /// A home that exists must be of a node that no group knows.
    private static func checkAlone(_ home: Home, _ options: JoinOptions) throws {
        guard options.database == nil else {
            throw NodeError(
                .refused,
                "\(home.path) has a node with a database already: leave --db out, or join with "
                    + "another --home DIR")
        }
        let context = try NodeContext(home: home, pid: getpid())
        let isAlone = context.members.isAlone
        try context.close()
        guard isAlone else {
            throw NodeError(
                .refused,
                "the node in \(home.path) belongs to a group already, and a node has one group: "
                    + "join with another folder, `starling join LINE --home DIR`")
        }
    }

    private static func settle(
        _ options: JoinOptions, _ answer: PairingAnswer, _ introducer: Introducer,
        _ address: HostPort, isNew: Bool
    ) throws -> JSONValue {
        let home = options.home
        try write(introducer.content, to: home.introducerPath)
        if isNew {
            _ = try Home.create(
                home, database: options.database, name: answer.name, group: answer.group,
                nowMilliseconds: WallClock.milliseconds())
        } else {
            var identity = try home.identity()
            identity.group = answer.group
            identity.name = answer.name
            try write(identity.content, to: home.identityPath)
        }
        var cache = PeerCache(of: home)
        cache.note(
            node: introducer.key.node, name: introducer.name, address: address,
            nowMilliseconds: WallClock.milliseconds())
        try? cache.save(to: home)
        let context = try NodeContext(home: home, pid: getpid())
        let identity = context.identity
        try context.close()
        return [
            "node": .string(identity.node), "group": .string(identity.group),
            "origin": .string(context.replica.origin.hex), "db": .string(context.replica.path),
            "name": .string(answer.name), "home": .string(home.path),
            "role": .string(answer.role.rawValue),
            "inviter": [
                "node": .string(introducer.key.node), "name": .string(introducer.name),
                "address": .string(address.description),
                "fingerprint": .string(introducer.key.fingerprint),
            ],
            "fingerprint": .string(context.members.own.fingerprint),
        ]
    }

    private static func write(_ content: [UInt8], to path: String) throws {
        do { try AtomicFile.replace(path, with: content) } catch {
            throw NodeError(.badHome, error.explain("cannot write \(path)"), cause: error)
        }
    }

    /// Makes a member of a node that is made here, without an invitation: both folders are this user's.
    ///
    /// - Parameter ask: `members.add`, answered by the node of the group.
    package static func introduce(
        _ options: InitializeOptions, ask: (JSONObject) throws -> JSONValue
    ) throws -> JSONValue {
        do { try Path.makeFolder(options.home.path) } catch {
            throw NodeError(.badHome, error.explain("cannot make \(options.home.path)"))
        }
        let key = try options.home.makeKey()
        let name = try Identity.checkedName(options.name ?? Identity.machineName())
        let answer = try ask(["key": .string(key.publicKey.hex), "name": .string(name)])
        guard let inviter = answer["key"]?.string.flatMap(PublicKey.init(hex:)),
            let group = answer["group"]?.string
        else { throw NodeError(.badMessage, "the node of the group did not say who it is") }
        let introducer = Introducer(key: inviter, name: answer["inviter"]?.string ?? "")
        try write(introducer.content, to: options.home.introducerPath)
        var options = options
        options.group = group
        return try initialize(options)
    }
}

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
    /// The line that `starling invite` printed; nil asks whoever is near, with a code.
    package var invitation: String?
    /// Absolute; nil is `data.db` in the home folder.
    package var database: String?
    /// nil is what the invitation says, else the machine's name.
    package var name: String?
    /// Tried in place of the addresses of the invitation.
    package var peers: [HostPort]
    /// False for `--no-discovery`.
    package var discovery: Bool

    package init(
        home: Home, invitation: String?, database: String? = nil, name: String? = nil,
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

/// What a person is told on the way.
package enum JoinStep: Sendable, Equatable {
    case words(String)
    /// The six digits that both screens show, and who shows them, too.
    case code(String, address: String)
}

extension NodeCommands {
    /// Makes the home folder, or takes the one of a node that is alone or still waits for a copy, opens its
    /// database, and only then pairs with the inviter. Returns what `initialize` returns, and the inviter.
    package static func join(
        _ options: JoinOptions, say: @escaping (JoinStep) -> Void
    ) throws -> JSONValue {
        let invitation = try options.invitation.map { try Invitation(line: $0) }
        let home = options.home
        let isNew = !Path.exists(home.identityPath)
        var group: String?
        guard invitation != nil || options.discovery || !options.peers.isEmpty else {
            throw NodeError(.usage, "without discovery, name the machine to ask: --peer HOST:PORT")
        }
        if isNew {
            _ = try initialize(
                InitializeOptions(
                    home: home, database: options.database, name: options.name, group: nil))
        } else {
            group = try checkFree(home, options, invitation)
        }
        do {
            let key = try home.key()
            guard key.publicKey != invitation?.inviter else {
                throw NodeError(.refused, "this node made the invitation itself: use it on another")
            }
            let identity = try home.identity()
            let names = PairingNames(
                wanted: try options.name.map(Identity.checkedName) ?? (isNew ? nil : identity.name),
                machine: Identity.machineName())
            let pairing = try Joining(
                invitation, key: key, names: names, group: group, say: say
            ).run(first: options.peers, looksAround: options.discovery)
            let answer = pairing.answer
            let role = answer.role == .reader ? ", as a reader" : ""
            say(
                .words("\(answer.inviter) let this node in\(role): \(answer.name) is a member now.")
            )
            let introducer = Introducer(
                key: pairing.inviter, name: answer.inviter, role: answer.role)
            return try settle(home, answer, introducer, pairing.address)
        } catch {
            // The key stays: if the answer was lost, the same newcomer asks again.
            if isNew, !Path.exists(home.introducerPath) { undoInitialize(home) }
            throw error
        }
    }

    /// A home that exists must be of a node that no group knows, or that waits for a copy which the one that
    /// let it in does not bring: another member lets it in again. Returns the group that it has data of.
    private static func checkFree(
        _ home: Home, _ options: JoinOptions, _ invitation: Invitation?
    ) throws -> String? {
        guard options.database == nil else {
            throw NodeError(
                .refused,
                "\(home.path) has a node with a database already: leave --db out, or join with "
                    + "another --home DIR")
        }
        let context = try NodeContext(home: home, pid: getpid())
        let members = context.members
        let isAlone = try members.isAlone()
        let isWaiting =
            context.replica.isJoining && invitation != nil
            && invitation?.inviter != members.introducer?.key
        let hasMembers = try context.replica.hasKernels(table: Members.table)
        let hasTables = try context.userTables().contains { $0.state == "synced" }
        try context.close()
        guard isAlone || isWaiting else {
            throw NodeError(
                .refused,
                "the node in \(home.path) belongs to a group already, and a node has one group: start "
                    + "it with `starling run`, or join another with another folder, `starling join LINE "
                    + "--home DIR`")
        }
        // Nothing but two people's eyes tells whose group it will be. What was begun and cut, goes on.
        guard options.invitation != nil || !hasTables else {
            throw NodeError(
                .refused,
                "the node in \(home.path) has tables that it would bring along, and by a code only a new "
                    + "one joins: use a line of `starling invite`, or another folder, `starling join "
                    + "--home DIR`")
        }
        return hasMembers ? context.identity.group : nil
    }

    private static func settle(
        _ home: Home, _ answer: PairingAnswer, _ introducer: Introducer, _ address: HostPort
    ) throws -> JSONValue {
        // The group first: without an introducer the node is alone, and can join again.
        var identity = try home.identity()
        identity.group = answer.group
        identity.name = answer.name
        identity.isMember = true
        try write(identity.content, to: home.identityPath)
        try write(introducer.content, to: home.introducerPath)
        var cache = PeerCache(of: home)
        cache.note(
            node: introducer.key.node, name: introducer.name, address: address,
            nowMilliseconds: WallClock.milliseconds())
        // A hint: discovery finds the inviter, too.
        try? cache.save(to: home)
        let context = try NodeContext(home: home, pid: getpid())
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
        var options = options
        options.group = group
        let result = try initialize(options)
        var identity = try options.home.identity()
        identity.isMember = true
        try write(identity.content, to: options.home.identityPath)
        let introducer = Introducer(
            key: inviter, name: answer["inviter"]?.string ?? "", role: .writer)
        try write(introducer.content, to: options.home.introducerPath)
        return result
    }
}

// The members of the group: an ordinary table of the file, kept the same on all nodes like any other;
// removal wins. Reading it tells whom this node talks to.

internal import CausalModel
internal import SQLite
internal import Store
internal import Sync
internal import Trust
internal import Values

/// Whom this node knows, as of the last look into the table.
final class Members {
    static let table = "starling_members"

    private static let schema = """
        CREATE TABLE IF NOT EXISTS \(table)(
            node TEXT PRIMARY KEY NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
            role TEXT NOT NULL, introducer TEXT NOT NULL, since_ms INTEGER NOT NULL,
            origin TEXT NOT NULL DEFAULT '')
        """
    private static let columns = "node, key, name, role, introducer, since_ms, origin"

    let own: PublicKey
    private let home: Home
    private let replica: Replica
    private(set) var byNode: [String: Member] = [:]
    private(set) var introducer: Introducer?
    /// Empty while this node is alone.
    private(set) var membership = Membership(roles: [:])
    /// What the table was like at the last look.
    private var seen: (digest: UInt64?, changes: UInt64, origin: Origin)?
    private var isRoleUnheard = false
    /// Told after each change.
    var onChange: (() -> Void)?
    var problem: String?

    /// The node is a member, and its database is from before that.
    private(set) var isForgotten = false
    /// Set once this node is a member.
    private var isNoted: Bool

    init(own: PublicKey, isMember: Bool, home: Home, replica: Replica) throws {
        self.own = own
        isNoted = isMember
        self.home = home
        self.replica = replica
        introducer = try home.introducer()
        replica.fixedTables.insert(Self.table)
        try replica.keepDeletedRows(of: Self.table)
        replica.copiedColumn = (Self.table, "origin")
        try prepareTable()
        try look()
        isForgotten = try isMember && isAlone()
        if let introducer, byNode[own.node] == nil, !replica.isJoining {
            try replica.beginJoining(because: "\(introducer.name) let this node in")
        } else if try replica.isJoining && !isForgotten && isAlone() {
            // There is no group that knows better.
            try replica.endJoiningAlone()
        }
    }

    private func prepareTable() throws {
        let facts = try replica.tableFacts().first { $0.name.lowercased() == Self.table }
        if facts?.state == "synced",
            try replica.rows(
                "SELECT 1 FROM pragma_table_info('\(Self.table)') WHERE name = 'origin'"
            )
            .isEmpty
        {
            // Of a file of an earlier version.
            let program = try Connection(
                path: replica.path, busyTimeoutMilliseconds: Limits.busyMilliseconds)
            try program.execute(
                "ALTER TABLE \(Self.table) ADD COLUMN origin TEXT NOT NULL DEFAULT ''")
            _ = try replica.summary()
        }
        guard facts?.state != "synced" else { return }
        guard facts == nil || facts?.state == "not_tracked" else {
            // Made anew and empty, it would remove everybody everywhere.
            throw NodeError(
                .failed,
                "a program dropped the table \(Self.table) of \(replica.path), which says who "
                    + "belongs to the group: restore the file from `starling backup`, or make a new "
                    + "home folder and let it join again")
        }
        let program = try Connection(
            path: replica.path, busyTimeoutMilliseconds: Limits.busyMilliseconds)
        try program.execute(Self.schema)
        let reports = try replica.track([Self.table], policy: .deleteWins)
        guard reports.allSatisfy(\.isTracked) else {
            throw NodeError(
                .failed,
                "\(replica.path) has a table \(Self.table) that is not Starling's: rename it")
        }
        try replica.finishScans()
    }

    // MARK: Reading

    /// Reads the table when it changed. Cheap otherwise.
    func look() throws {
        let present = (
            digest: replica.digest(ofTable: Self.table),
            changes: replica.changeCount(ofTable: Self.table), origin: replica.origin
        )
        if let seen, seen == present {
            guard isRoleUnheard, try !isOwnRoleUnheard() else { return }
        }
        let rows = try replica.rows("SELECT \(Self.columns) FROM \(Self.table)")
        seen = present
        let found = rows.compactMap(Member.init(row:))
        problem =
            found.count == rows.count
            ? nil
            : "\(rows.count - found.count) rows of \(Self.table) are no members: somebody wrote them "
                + "by hand"
        byNode = Dictionary(found.map { ($0.node, $0) }) { first, _ in first }
        isRoleUnheard = try byNode[own.node]?.role == .reader && isOwnRoleUnheard()
        if isRoleUnheard { byNode[own.node]?.role = .writer }
        try settleIntroducer()
        try settle()
        if !isBroken(.unlistedKept) {
            // Once the list has another, nobody goes on under this one.
            try replica.noteAuthor(replica.origin, node: own.node, hasJoined: true)
        }
        for member in byNode.values {
            guard let origin = member.origin else { continue }
            // Under an origin of its own that nobody joined under the original of a copied home may go on.
            if member.node == own.node {
                try replica.noteAuthor(origin, node: member.node, hasJoined: true)
            } else {
                try replica.noteJoined(origin, node: member.node)
            }
        }
        replica.isReader = ownRole == .reader
        // At once: what a copy leaves to others, and what it issues again, goes by that.
        sortOrigins()
        onChange?()
    }

    /// Tells the replica of whose origins nothing more will be taken, and whose authors will tell what is
    /// theirs.
    func sortOrigins() {
        (replica.removedOrigins, replica.activeOrigins) = membership.sortOrigins(
            authors: replica.knownAuthors, joined: replica.joinedOrigins, at: own.node,
            under: replica.origin)
    }

    /// Whether nobody else knows that this node is a reader: who had made it one has lost that, and it had
    /// that of an origin that is over, or issued it again. Until somebody has it the node is the writer
    /// that it is by all other lists, since of a reader nobody takes it.
    private func isOwnRoleUnheard() throws -> Bool {
        try replica.isUnheard(
            table: Self.table, key: [.string(own.node)], column: "role",
            value: .string(Membership.Role.reader.rawValue)
        ) { origin in
            guard let author = replica.knownAuthors[origin] else { return false }
            return byNode[author]?.origin != origin
        }
    }

    /// The one that let this node in is believed until the table speaks for both: of a large copy the
    /// two rows may come far apart.
    private func settleIntroducer() throws {
        guard let introducer, byNode[own.node] != nil, try wasMember(introducer.key.node) else {
            return
        }
        try replica.makeDurable()
        _ = Path.remove(home.introducerPath)
        self.introducer = nil
    }

    /// Whether the table has, or had, a row of this node.
    func wasMember(_ node: String) throws -> Bool {
        if byNode[node] != nil { return true }
        return try replica.hasKernel(table: Self.table, key: [.string(node)])
    }

    /// Whether the node was a member, and was removed: its key is nobody's for ever.
    func wasRemoved(_ node: String) throws -> Bool {
        try byNode[node] == nil && wasMember(node)
    }

    private func settle() throws {
        var roles = byNode.mapValues(\.role)
        if let introducer, (try? wasMember(introducer.key.node)) != true {
            roles[introducer.key.node] = .writer
        }
        // Alone, it talks to nobody; a newcomer to the one that let it in.
        membership = Membership(
            roles: roles, removals: try replica.liveDots(inTable: Self.table),
            origins: byNode.compactMapValues(\.origin),
            joins: try Set([byNode[own.node]?.origin, replica.origin].compactMap { $0 })
                .reduce(into: [:]) { joins, origin in
                    joins[origin] = try replica.dots(
                        table: Self.table, key: [.string(own.node)], column: "origin",
                        value: .string(origin.hex))
                })
    }

    /// What this node may do: by its own row; as its introducer said while that has not come; as the
    /// founder it will be while nobody else is there. nil for one that was removed.
    var ownRole: Membership.Role? {
        if let own = byNode[own.node] { return own.role }
        if let introducer { return introducer.role }
        return byNode.isEmpty && !isForgotten ? .writer : nil
    }

    /// Nobody let this node in, and it never let anybody in.
    func isAlone() throws -> Bool {
        try introducer == nil && !replica.hasKernels(table: Self.table)
    }

    /// Whether the owner of `key` is a member that this node talks to.
    func isMember(_ key: PublicKey) -> Bool {
        membership.roles[key.node] != nil && (byNode[key.node]?.key ?? introducer?.key) == key
    }

    /// Everybody else, by name.
    var others: [Member] {
        byNode.values.filter { $0.node != own.node }
            .sorted { $0.name != $1.name ? $0.name < $1.name : $0.node < $1.node }
    }

    static let forgotten =
        "the database is from before this node belonged to its group: put a newer copy back, or let a "
        + "member invite it again and use `starling join`"

    // MARK: Writing

    /// Lets `member` in. The first time the group is founded: this node becomes its first member.
    ///
    /// When it returns, both rows are numbered and on disk.
    func admit(_ member: Member, founder name: String) throws {
        var rows = [member]
        if byNode.isEmpty, introducer == nil {
            let founder = Member(
                key: own, name: name, role: .writer, introducer: own.node,
                sinceMilliseconds: member.sinceMilliseconds,
                origin: replica.origin)
            rows.insert(founder, at: 0)
        }
        if !isNoted {
            try home.noteMembership()
            isNoted = true
        }
        try change { program in
            for member in rows {
                try program.run(
                    """
                    INSERT INTO \(Self.table)(\(Self.columns)) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
                    ON CONFLICT(node) DO UPDATE SET
                        name = excluded.name, role = excluded.role
                    """, member.row)
            }
        }
    }

    func remove(_ node: String) throws {
        try change { program in
            try program.run("DELETE FROM \(Self.table) WHERE node = ?1", [.string(node)])
        }
    }

    /// What a reader wrote before it became a writer has not seen what others have forgotten since: it
    /// takes a copy, and issues its changes again.
    func setRole(_ role: Membership.Role, of node: String) throws {
        try change { program in
            try program.run(
                """
                UPDATE \(Self.table) SET role = ?2,
                    origin = CASE WHEN role = 'reader' AND ?2 = 'writer' THEN '' ELSE origin END
                WHERE node = ?1
                """,
                [.string(node), .string(role.rawValue)])
        }
    }

    /// Waits for a member no longer: it stays one, and takes a copy when it comes back.
    func evict(_ node: String) throws {
        try change { program in
            try program.run(
                "UPDATE \(Self.table) SET origin = '' WHERE node = ?1", [.string(node)])
        }
    }

    /// Notes that a member takes part under `origin` from now on; `isAlone`: and nobody else does.
    func noteJoined(_ node: String, _ origin: Origin, isAlone: Bool) throws {
        try write { program in
            if let introducer, introducer.key.node == node, byNode[node] == nil {
                // This node received half a list before all went back: the row would never come.
                let member = Member(
                    key: introducer.key, name: introducer.name, role: .writer, introducer: node,
                    sinceMilliseconds: WallClock.milliseconds())
                try program.run(
                    "INSERT INTO \(Self.table)(\(Self.columns)) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    member.row)
            }
            try program.run(
                """
                UPDATE \(Self.table) SET origin = CASE WHEN node = ?1 THEN ?2 ELSE '' END
                WHERE node = ?1 OR ?3
                """,
                [.string(node), .string(origin.hex), .integer(isAlone ? 1 : 0)])
        }
    }

    func set(_ column: String, _ value: String, of node: String) throws {
        precondition(column == "name", "the rest of a row is for ever")
        try change { program in
            try program.run(
                "UPDATE \(Self.table) SET \(column) = ?2 WHERE node = ?1",
                [.string(node), .string(value)])
        }
    }

    /// Writes as any program does, through the triggers, and takes it in at once.
    private func change(_ body: (Connection) throws -> Void) throws {
        guard ownRole == .writer else {
            throw NodeError(
                .refused,
                isForgotten
                    ? Self.forgotten
                    : ownRole == nil
                        ? "this node was removed from the group: it can change nothing in it"
                        : "this node is a reader: let a writer do it")
        }
        try write(body)
    }

    private func write(_ body: (Connection) throws -> Void) throws {
        do {
            let program = try Connection(
                path: replica.path, busyTimeoutMilliseconds: Limits.busyMilliseconds)
            try program.transaction { try body(program) }
        } catch let error as SQLiteError {
            throw NodeError(.failed, "cannot change the members: \(error)", cause: error)
        }
        // Folds, and is on disk when it returns.
        _ = try replica.summary()
        try look()
    }
}

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
            role TEXT NOT NULL, introducer TEXT NOT NULL, since_ms INTEGER NOT NULL)
        """
    private static let columns = "node, key, name, role, introducer, since_ms"

    let own: PublicKey
    private let home: Home
    private let replica: Replica
    private(set) var byNode: [String: Member] = [:]
    private(set) var introducer: Introducer?
    /// nil while the group has no members yet: this node is alone.
    private(set) var membership: Membership?
    /// What the table was like at the last look.
    private var seen: (digest: UInt64?, changes: UInt64)?
    /// Told after each change.
    var onChange: (() -> Void)?
    var problem: String?

    init(own: PublicKey, home: Home, replica: Replica) throws {
        self.own = own
        self.home = home
        self.replica = replica
        introducer = try home.introducer()
        replica.fixedTables = [Self.table]
        try prepareTable()
        try look()
    }

    private func prepareTable() throws {
        let facts = try replica.tableFacts().first { $0.name.lowercased() == Self.table }
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
            changes: replica.changeCount(ofTable: Self.table)
        )
        if let seen, seen == present { return }
        let rows = try replica.rows("SELECT \(Self.columns) FROM \(Self.table)")
        seen = present
        let found = rows.compactMap(Member.init(row:))
        problem =
            found.count == rows.count
            ? nil
            : "\(rows.count - found.count) rows of \(Self.table) are no members: somebody wrote them "
                + "by hand"
        byNode = Dictionary(found.map { ($0.node, $0) }) { first, _ in first }
        if introducer != nil, byNode[own.node] != nil {
            _ = Path.remove(home.introducerPath)
            introducer = nil
        }
        settle()
        replica.isReader = ownRole == .reader
        onChange?()
    }

    private func settle() {
        var roles = byNode.mapValues(\.role)
        if let introducer { roles[introducer.key.node] = .writer }
        // Alone, it talks to nobody; still not a member, to the one that let it in.
        membership = Membership(roles: roles)
    }

    /// This node's own row, or the founder's rights while nobody else is there.
    var ownRole: Membership.Role? {
        if let own = byNode[own.node] { return own.role }
        return byNode.isEmpty || introducer != nil ? .writer : nil
    }

    /// No other member is known and nobody let this node in.
    var isAlone: Bool { introducer == nil && byNode.keys.allSatisfy { $0 == own.node } }

    /// Whether the owner of `key` is a member that this node talks to.
    func isMember(_ key: PublicKey) -> Bool {
        membership?.roles[key.node] != nil && (byNode[key.node]?.key ?? introducer?.key) == key
    }

    /// Everybody else, by name.
    var others: [Member] {
        byNode.values.filter { $0.node != own.node }
            .sorted { $0.name != $1.name ? $0.name < $1.name : $0.node < $1.node }
    }

    // MARK: Writing

    /// Lets `member` in. The first time the group is founded: this node becomes its first member.
    ///
    /// When it returns, both rows are numbered and on disk.
    func admit(_ member: Member, founder name: String) throws {
        var rows = [member]
        if byNode.isEmpty, introducer == nil {
            rows.append(
                Member(
                    key: own, name: name, role: .writer, introducer: own.node,
                    sinceMilliseconds: member.sinceMilliseconds))
        }
        try change { program in
            for member in rows {
                try program.run(
                    """
                    INSERT INTO \(Self.table)(\(Self.columns)) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
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

    func set(_ column: String, _ value: String, of node: String) throws {
        precondition(column == "name" || column == "role", "the rest of a row is for ever")
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
                ownRole == nil
                    ? "this node was removed from the group: it can change nothing in it"
                    : "this node is a reader: let a writer do it")
        }
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

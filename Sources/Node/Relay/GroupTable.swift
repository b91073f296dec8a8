// What the group shares about its relay: an ordinary table of the file, kept the same on all nodes like the
// members. It is made by the first `starling relay join`, or when a peer has it.

internal import RelayClient
internal import RelayProtocol
internal import SQLite
internal import Store
internal import Trust
internal import Values

/// The group's relay, its secret and the grants of its epochs, as of the last look.
///
/// Whoever has the file has the secret, as it has all rows. The secrets of epochs stand here only as grants,
/// which the one member that each is for can open.
final class GroupTable {
    static let table = "starling_relay"

    private static let schema =
        "CREATE TABLE IF NOT EXISTS \(table)(item TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"
    private static let urlItem = "url"
    private static let secretItem = "secret"
    private static let grantPrefix = "grant/"
    static let grantsMax = 4_096

    private let replica: Replica
    private(set) var url: String?
    private(set) var secret: GroupSecret?
    private(set) var grants: [EpochGrant] = []
    private var seen: (digest: UInt64?, changes: UInt64)?
    private var isPrepared = false

    init(replica: Replica) throws {
        self.replica = replica
        replica.fixedTables.insert(Self.table)
        try look()
    }

    /// Makes the table where it is known of, by a peer or by the file, and not synced yet.
    private func prepare(isWanted: Bool) throws -> Bool {
        if isPrepared { return true }
        let facts = try replica.tableFacts().first { $0.name.lowercased() == Self.table }
        if facts?.state == "synced" {
            isPrepared = true
            return true
        }
        guard facts != nil || isWanted else { return false }
        do {
            let program = try Connection(
                path: replica.path, busyTimeoutMilliseconds: Limits.busyMilliseconds)
            try program.execute(Self.schema)
        } catch let error as SQLiteError {
            throw NodeError(.failed, "cannot make the table \(Self.table): \(error)", cause: error)
        }
        let reports = try replica.track([Self.table])
        guard reports.allSatisfy(\.isTracked) else {
            throw NodeError(
                .failed,
                "\(replica.path) has a table \(Self.table) that is not Starling's: rename it")
        }
        try replica.finishScans()
        isPrepared = true
        return true
    }

    /// Reads the table when it changed. Cheap otherwise.
    ///
    /// - Returns: whether it did.
    @discardableResult
    func look() throws -> Bool {
        guard isPrepared || replica.digest(ofTable: Self.table) != nil else { return false }
        guard try prepare(isWanted: false) else { return false }
        let present = (
            digest: replica.digest(ofTable: Self.table),
            changes: replica.changeCount(ofTable: Self.table)
        )
        if let seen, seen == present { return false }
        let rows = try replica.rows("SELECT item, value FROM \(Self.table) ORDER BY item")
        seen = present
        url = nil
        secret = nil
        grants = []
        for row in rows {
            guard case .text(let item) = row[0], case .text(let text) = row[1] else { continue }
            let value = String(decoding: text, as: UTF8.self)
            switch String(decoding: item, as: UTF8.self) {
            case Self.urlItem: url = value
            case Self.secretItem: secret = Hex.bytes(value).flatMap { GroupSecret($0) }
            case let name where name.hasPrefix(Self.grantPrefix):
                guard grants.count < Self.grantsMax, let bytes = Hex.bytes(value),
                    let grant = EpochGrant(decoding: bytes)
                else { continue }
                grants.append(grant)
            default: break
            }
        }
        return true
    }

    // MARK: Writing

    func join(url: String, secret: GroupSecret) throws {
        _ = try prepare(isWanted: true)
        var items = [(Self.urlItem, url)]
        if self.secret == nil { items.append((Self.secretItem, Hex.text(secret.bytes))) }
        try write(items)
    }

    func leave() throws {
        guard isPrepared else { return }
        try change { program in
            try program.run(
                "DELETE FROM \(Self.table) WHERE item = ?1", [.string(Self.urlItem)])
        }
    }

    /// Nobody else writes a grant of this node: there is nothing to be in conflict with.
    func add(_ grants: [EpochGrant]) throws {
        guard !grants.isEmpty else { return }
        _ = try prepare(isWanted: true)
        try write(
            grants.map { grant in
                (
                    Self.grantPrefix + Hex.text(grant.epoch.encoded) + "/\(grant.receiver)"
                        + "/\(grant.granter)", Hex.text(grant.bytes)
                )
            })
    }

    private func write(_ items: [(String, String)]) throws {
        try change { program in
            for (item, value) in items {
                try program.run(
                    """
                    INSERT INTO \(Self.table)(item, value) VALUES(?1, ?2)
                    ON CONFLICT(item) DO UPDATE SET value = excluded.value
                    """, [.string(item), .string(value)])
            }
        }
    }

    private func change(_ body: (Connection) throws -> Void) throws {
        do {
            let program = try Connection(
                path: replica.path, busyTimeoutMilliseconds: Limits.busyMilliseconds)
            try program.transaction { try body(program) }
        } catch let error as SQLiteError {
            throw NodeError(.failed, "cannot write \(Self.table): \(error)", cause: error)
        }
        _ = try replica.summary()
        try look()
    }
}

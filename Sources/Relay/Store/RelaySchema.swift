// The tables of a relay, and how older ones become newer. One text for both engines, with the three
// words in which they differ.

internal import RelayProtocol
internal import Values

/// The words in which engines differ.
struct SchemaDialect {
    /// A column that numbers its rows.
    var identity: String
    var bytes: String
    /// Behind `CREATE TABLE relay_entries (…)`.
    var entriesPartition: String
    /// Statements behind it.
    var entriesFollowUp: [String]
}

enum RelaySchema {
    /// The version that this program reads and writes.
    static let version: Int64 = 1

    /// Statements that make version `index + 1` from version `index`.
    static func migrations(_ dialect: SchemaDialect) -> [[String]] { [first(dialect)] }

    private static func first(_ dialect: SchemaDialect) -> [String] {
        let bytes = dialect.bytes
        return [
            // A group and the head of its log. first: number of the first entry that is kept; base: the link
            // before it. entries, bytes: what is kept, snapshots included in bytes. Times are milliseconds
            // since 1970.
            """
            CREATE TABLE relay_groups (
                id \(dialect.identity), name \(bytes) NOT NULL UNIQUE, credential \(bytes) NOT NULL,
                generation \(bytes) NOT NULL, head BIGINT NOT NULL, link \(bytes) NOT NULL,
                first BIGINT NOT NULL, base \(bytes) NOT NULL, entries BIGINT NOT NULL,
                bytes BIGINT NOT NULL, created_ms BIGINT NOT NULL, used_ms BIGINT NOT NULL)
            """,
            // The logs. digest: SHA-256 of the content; link: of the chain, at this entry; content is NULL
            // when it was let go: the key is remembered some time longer.
            """
            CREATE TABLE relay_entries (
                grp BIGINT NOT NULL, number BIGINT NOT NULL, key \(bytes) NOT NULL,
                digest \(bytes) NOT NULL, link \(bytes) NOT NULL, content \(bytes),
                created_ms BIGINT NOT NULL, PRIMARY KEY (grp, number), UNIQUE (grp, key)
            )\(dialect.entriesPartition)
            """,
        ] + dialect.entriesFollowUp + [
            // Snapshots. covers, link: the entry up to which; complete: 0 while it is received.
            """
            CREATE TABLE relay_snapshots (
                id \(dialect.identity), grp BIGINT NOT NULL, covers BIGINT NOT NULL,
                link \(bytes) NOT NULL, size BIGINT NOT NULL, complete BIGINT NOT NULL,
                created_ms BIGINT NOT NULL)
            """,
            // For the newest snapshots of a group.
            "CREATE INDEX relay_snapshots_of_group ON relay_snapshots (grp, id)",
            // The content of snapshots in pieces, from 0.
            """
            CREATE TABLE relay_pieces (
                snapshot BIGINT NOT NULL, number BIGINT NOT NULL, content \(bytes) NOT NULL,
                PRIMARY KEY (snapshot, number))
            """,
            // Tokens of the operator for enrolling: only their SHA-256.
            """
            CREATE TABLE relay_tokens (
                digest \(bytes) NOT NULL PRIMARY KEY, uses BIGINT NOT NULL, expires_ms BIGINT NOT NULL,
                created_ms BIGINT NOT NULL)
            """,
        ]
    }

    /// Brings the tables up to date; in a transaction that nobody else can enter.
    static func migrate(_ session: any RelaySession, _ dialect: SchemaDialect) throws {
        try session.run(
            "CREATE TABLE IF NOT EXISTS relay_schema (version BIGINT NOT NULL PRIMARY KEY)", [])
        let found = try session.query(
            "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM relay_schema", [])
        let present = found.first?.first?.number ?? 0
        guard present <= version else {
            throw RelayError(
                .failed,
                "the store is of version \(present), this program knows \(version): run the newer "
                    + "program on it")
        }
        for (index, statements) in migrations(dialect).enumerated() where Int64(index) >= present {
            for statement in statements { try session.run(statement, []) }
            try session.run(
                "INSERT INTO relay_schema (version) VALUES ($1)", [.integer(Int64(index + 1))])
        }
    }
}

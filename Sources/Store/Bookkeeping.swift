// The tables that Starling keeps in the app's file, and access to its small facts. All names begin
// with `_starling_`; nothing here needs a newer SQLite than 3.24 on the side of the app.

internal import SQLite
internal import Values

/// The bookkeeping schema.
enum Bookkeeping {
    /// Raised when the tables change shape; a newer file is refused with a clear error.
    static let formatVersion: Int64 = 1

    static let schema = """
        -- Single facts: format, nonce, clock, the current origin's ordinal, the floor.
        CREATE TABLE IF NOT EXISTS _starling_meta(
            name TEXT NOT NULL PRIMARY KEY, value) WITHOUT ROWID;
        -- Origins by local ordinal; seen is the version vector's number for it, 0 when only named.
        CREATE TABLE IF NOT EXISTS _starling_origin(
            ord INTEGER PRIMARY KEY, origin BLOB NOT NULL UNIQUE, seen INTEGER NOT NULL);
        -- Tables by local id. state: TableState; policy: PresencePolicy; digest: sum of row hashes;
        -- structure: CBOR as exchanged; armed: CBOR of the structure that the triggers are made
        -- for; scan: ScanPhase; scanned: the last key of that phase that is done.
        CREATE TABLE IF NOT EXISTS _starling_table(
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE,
            state INTEGER NOT NULL, policy INTEGER NOT NULL, digest INTEGER NOT NULL, structure BLOB,
            armed BLOB,
            scan INTEGER NOT NULL DEFAULT 0, scanned BLOB);
        -- Columns without the key's, by local id; never reused.
        CREATE TABLE IF NOT EXISTS _starling_column(
            tbl INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
            dropped INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(tbl, id)) WITHOUT ROWID;
        -- Which columns an insert has values of: a list of LEB128 column ids.
        CREATE TABLE IF NOT EXISTS _starling_layout(
            tbl INTEGER NOT NULL, id INTEGER NOT NULL, columns BLOB NOT NULL,
            PRIMARY KEY(tbl, id)) WITHOUT ROWID;
        -- One kernel a row. record: RowRecord; hash: of its content, its part of the digest unless it
        -- is deleted; context: the snapshot it was half received from, or NULL.
        CREATE TABLE IF NOT EXISTS _starling_row(
            tbl INTEGER NOT NULL, key BLOB NOT NULL, record BLOB NOT NULL, hash INTEGER NOT NULL,
            context INTEGER, PRIMARY KEY(tbl, key)) WITHOUT ROWID;
        -- The greatest live number of each origin in each row: finds what lies beyond a vector.
        CREATE TABLE IF NOT EXISTS _starling_dot(
            origin INTEGER NOT NULL, number INTEGER NOT NULL, tbl INTEGER NOT NULL,
            key BLOB NOT NULL, PRIMARY KEY(origin, number)) WITHOUT ROWID;
        -- Vectors that half-received rows have seen; ids are never used twice.
        CREATE TABLE IF NOT EXISTS _starling_snapshot(
            id INTEGER PRIMARY KEY AUTOINCREMENT, vector BLOB NOT NULL UNIQUE);
        -- Visible rows that a constraint keeps out of their table. reason: ParkReason.
        CREATE TABLE IF NOT EXISTS _starling_parked(
            tbl INTEGER NOT NULL, key BLOB NOT NULL, reason INTEGER NOT NULL, detail TEXT,
            PRIMARY KEY(tbl, key)) WITHOUT ROWID;
        -- Rows with conflicts, and how many each has.
        CREATE TABLE IF NOT EXISTS _starling_conflict(
            tbl INTEGER NOT NULL, key BLOB NOT NULL, items INTEGER NOT NULL,
            PRIMARY KEY(tbl, key)) WITHOUT ROWID;
        -- Broken transfers: where the receiver stands in a delta of each source.
        CREATE TABLE IF NOT EXISTS _starling_transfer(
            source BLOB NOT NULL PRIMARY KEY, receiver BLOB NOT NULL, base BLOB NOT NULL,
            snapshot BLOB NOT NULL, origin BLOB NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
        -- The latest statement of each peer; seen in Unix milliseconds.
        CREATE TABLE IF NOT EXISTS _starling_peer(
            node TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, vector BLOB NOT NULL,
            seen INTEGER NOT NULL) WITHOUT ROWID;
        """ + authors + deletedRows + joining + log

    /// Beside what files of earlier versions have.
    static let authors = """

        -- Which node numbers, or numbered, under which origin, as it said itself.
        CREATE TABLE IF NOT EXISTS _starling_author(
            origin BLOB NOT NULL PRIMARY KEY, node TEXT NOT NULL) WITHOUT ROWID;
        """

    /// The same.
    static let deletedRows = """

        -- Deleted rows that nothing contests, each under one of its live dots: only when members have
        -- that one is the row looked at, and then it goes, or waits under another.
        CREATE TABLE IF NOT EXISTS _starling_deleted(
            tbl INTEGER NOT NULL, key BLOB NOT NULL, origin INTEGER NOT NULL,
            number INTEGER NOT NULL, PRIMARY KEY(tbl, key)) WITHOUT ROWID;
        -- For collecting: rows that wait under a dot that all members have.
        CREATE INDEX IF NOT EXISTS _starling_deleted_dot ON _starling_deleted(origin, number);
        """

    /// The same.
    static let joining = """

        -- While a replica takes its copy: the sender's vector when the copy from each source began.
        CREATE TABLE IF NOT EXISTS _starling_copy(
            source BLOB NOT NULL PRIMARY KEY, snapshot BLOB NOT NULL) WITHOUT ROWID;
        -- Beside the vector in _starling_peer: the origin under which it was stated.
        ALTER TABLE _starling_peer ADD COLUMN origin BLOB;
        -- An origin that its node has joined under stands for that node until it joins again.
        ALTER TABLE _starling_author ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;
        """

    /// The same.
    static let log = """

        -- What is known of a relay's log: where its reader stands (vector: what every reader of it has),
        -- transfers that have begun, and pieces of chunks. Kept with the rows that were read from it.
        CREATE TABLE IF NOT EXISTS _starling_log(
            name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        """

    static func meta(_ name: String, in connection: Connection) throws -> Value? {
        try connection.first("SELECT value FROM _starling_meta WHERE name = ?1", [.string(name)])
    }

    static func setMeta(_ name: String, _ value: Value, in connection: Connection) throws {
        try connection.run(
            "INSERT OR REPLACE INTO _starling_meta(name, value) VALUES(?1, ?2)",
            [.string(name), value])
    }

    /// True when the file has this table.
    static func exists(_ table: String, in connection: Connection) throws -> Bool {
        try connection.first("SELECT 1 FROM sqlite_schema WHERE name = ?1", [.string(table)]) != nil
    }
}

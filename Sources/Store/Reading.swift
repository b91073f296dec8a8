// What a node reads of its own file beside the rows that it syncs.

package import CausalModel
internal import Codec
internal import SQLite
package import Values

extension Replica {
    /// The digest of one table as it is now, which moves with every change of it; nil when the table is
    /// not known. O(tables), without a look at the file.
    package func digest(ofTable name: String) -> UInt64? { table(named: name)?.digest }

    /// A number that moves with every transaction that changed rows of the table; 0 when there was none
    /// since the replica was opened. Unlike the digest, which is a sum, nobody can choose rows that keep it.
    package func changeCount(ofTable name: String) -> UInt64 {
        table(named: name).flatMap { changeCounts[$0.id] } ?? 0
    }

    /// The rows of a query on the file as it is now.
    ///
    /// - Throws: ``StoreError``.
    package func rows(_ sql: String, _ values: [Value] = []) throws -> [[Value]] {
        try translated { try connection.query(sql, values) }
    }

    /// Whether anything is known of the row under `key`: as it is, or that it was.
    package func hasKernel(table name: String, key: [Value]) throws -> Bool {
        try translated {
            guard let entry = table(named: name) else { return false }
            return try connection.first(
                "SELECT 1 FROM _starling_row WHERE tbl = ?1 AND key = ?2",
                [.integer(entry.id), .blob(encodeKey(key))]) != nil
        }
    }

    /// The live dots under which a column of a row has this value. Complexity: O(live writes of the row).
    package func dots(
        table name: String, key: [Value], column: String, value: Value
    ) throws -> [Dot] {
        try translated {
            guard let entry = table(named: name), let column = entry.column(named: column) else {
                return []
            }
            let row = try load(entry, key: encodeKey(key))
            return row?.kernel.writes.filter { $0.value(column) == value }.map(\.dot) ?? []
        }
    }

    /// Whether a cell shows what nobody will tell but this replica: it, or an origin that is over, has said
    /// that, and no peer has stated to have it.
    package func isUnheard(
        table: String, key: [Value], column: String, value: Value, isOver: (Origin) -> Bool
    ) throws -> Bool {
        let said = try dots(table: table, key: key, column: column, value: value)
        guard !said.isEmpty, said.allSatisfy({ $0.origin == origin || isOver($0.origin) }) else {
            return false
        }
        let peers = try peerStatements()
        return !said.contains { dot in peers.contains { $0.vector.contains(dot) } }
    }

    /// Whether anything is known of any row of a table.
    package func hasKernels(table name: String) throws -> Bool {
        try translated {
            guard let entry = table(named: name) else { return false }
            return try connection.first(
                "SELECT 1 FROM _starling_row WHERE tbl = ?1 LIMIT 1", [.integer(entry.id)]) != nil
        }
    }

    /// Notes a peer that has not stated anything yet, so that what is here waits for it.
    package func expectPeer(_ node: String, name: String) throws {
        try translated {
            try connection.run(
                """
                INSERT INTO _starling_peer(node, name, vector, seen) VALUES(?1, ?2, ?3, 0)
                ON CONFLICT(node) DO UPDATE SET name = excluded.name
                """,
                [.string(node), .string(name), .blob(VersionVector().encoded)])
        }
    }
}

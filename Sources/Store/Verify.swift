// Checks that everything the bookkeeping derives follows from the kernels, and that the tables show
// what the kernels say. For `doctor` and for tests; it reads every row.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// One row as the replica holds it, told by names instead of local numbers.
package struct KernelFacts: Sendable {
    package var table: String
    package var key: [UInt8]
    package var kernel: Kernel
    package var isShown: Bool
    package var isVisible: Bool
    /// Index is the ``ColumnID``.
    package var columns: [String]
}

extension Replica {
    /// Gives every kernel to `body`, by table and key. Complexity: O(rows).
    package func forEachKernel(_ body: (KernelFacts) throws -> Void) throws {
        try translated {
            for entry in tables.values.sorted(by: { $0.name < $1.name }) {
                try forEachKey(entry) { key in
                    guard let row = try load(entry, key: key) else { return }
                    try body(
                        KernelFacts(
                            table: entry.name, key: key, kernel: row.kernel, isShown: row.isShown,
                            isVisible: row.kernel.isVisible(entry.policy),
                            columns: entry.columns.map(\.name)))
                }
            }
        }
    }

    /// Everything that contradicts itself in the bookkeeping or between it and the tables, in
    /// words; empty when all is well. Changes that wait in a journal are folded first. Complexity:
    /// O(rows).
    package func verify() throws -> [String] {
        try fold()
        return try translated {
            var found: [String] = []
            var heads: Set<[Value]> = []
            for entry in tables.values.sorted(by: { $0.id < $1.id }) {
                let parked = Set(
                    try connection.query(
                        "SELECT key FROM _starling_parked WHERE tbl = ?1", [.integer(entry.id)]
                    ).map { $0[0] })
                let conflicted = Set(
                    try connection.query(
                        "SELECT key, items FROM _starling_conflict WHERE tbl = ?1",
                        [.integer(entry.id)]))
                var sum: UInt64 = 0
                var shown: Int64 = 0
                try forEachKey(entry) { key in
                    guard let row = try load(entry, key: key) else { return }
                    let name = "\(entry.name) row \(key)"
                    let hash = RowHash.of(row.kernel, key: key, entry: entry, scratch: &scratch)
                    if hash != row.hash { found.append("\(name): the hash is not of its content") }
                    sum &+= row.hash
                    for head in Replica.heads(row.kernel) {
                        heads.insert([
                            .integer(Int64(ordinals[head.origin] ?? -1)),
                            .integer(Int64(head.number)), .integer(entry.id), .blob(key),
                        ])
                    }
                    let items = row.kernel.conflicts.count
                    if conflicted.contains([.blob(key), .integer(Int64(items))]) != (items > 0) {
                        found.append("\(name): its conflicts are not counted right")
                    }
                    shown += row.isShown ? 1 : 0
                    found += try placeProblems(
                        entry, row, name: name, isParked: parked.contains(.blob(key)))
                }
                if sum != entry.digest { found.append("\(entry.name): the digest is off") }
                if let access = entry.access, entry.isLive,
                    try connection.integer("SELECT count(*) FROM \(access.table)") != shown
                {
                    found.append("\(entry.name): the table has rows without a kernel")
                }
            }
            let index = Set(
                try connection.query("SELECT origin, number, tbl, key FROM _starling_dot"))
            if index != heads {
                found.append(
                    "the index of changes: \(heads.subtracting(index).count) missing, "
                        + "\(index.subtracting(heads).count) stale")
            }
            return found
        }
    }

    private func placeProblems(_ entry: TableEntry, _ row: Row, name: String, isParked: Bool)
        throws -> [String]
    {
        guard let access = entry.access, entry.isLive, entry.scan == .none else { return [] }
        let isVisible = row.kernel.isVisible(entry.policy)
        var found: [String] = []
        if row.isShown, !isVisible { found.append("\(name): shown and deleted") }
        if isVisible, !row.isShown, !isParked { found.append("\(name): neither shown nor parked") }
        if isParked, !isVisible || row.isShown { found.append("\(name): parked without cause") }
        if row.isShown {
            if row.tableValues == nil {
                found.append("\(name): gone from its table")
            } else if row.tableValues != shownValues(row.kernel, access: access) {
                found.append("\(name): its table shows something else")
            }
        }
        return found
    }

    private func forEachKey(_ entry: TableEntry, _ body: ([UInt8]) throws -> Void) throws {
        var after: [UInt8] = []
        while true {
            let keys = try connection.query(
                """
                SELECT key FROM _starling_row WHERE tbl = ?1 AND key > ?2 ORDER BY key LIMIT 1000
                """, [.integer(entry.id), .blob(after)])
            for found in keys {
                guard case .blob(let key) = found[0] else { continue }
                try body(key)
                after = key
            }
            if keys.count < 1000 { return }
        }
    }
}

extension Replica {
    /// Lets the file grow to so many pages and no further; a full disk for tests.
    package func limitPages(_ count: Int) throws {
        try translated { try connection.execute("PRAGMA max_page_count = \(count)") }
    }
}

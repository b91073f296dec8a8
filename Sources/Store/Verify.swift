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
        for entry in tables.values.sorted(by: { $0.name < $1.name }) {
            try forEachKernel(of: entry, body)
        }
    }

    func forEachKernel(of entry: TableEntry, _ body: (KernelFacts) throws -> Void) throws {
        try translated {
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
                if parked.count != parkedCounts[entry.id] ?? 0 {
                    found.append("\(entry.name): its parked rows are not counted right")
                }
                var sum: UInt64 = 0
                var shown: Int64 = 0
                try forEachKey(entry) { key in
                    guard let row = try load(entry, key: key) else { return }
                    let name = "\(entry.name) row \(key)"
                    let hash = RowHash.of(row.kernel, key: key, entry: entry, scratch: &scratch)
                    if hash != row.hash { found.append("\(name): the hash is not of its content") }
                    sum &+= row.counted
                    found += try queueProblems(entry, key: key, row.kernel, name: name)
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
            let lost = try connection.integer(
                """
                SELECT count(*) FROM _starling_deleted d WHERE NOT EXISTS(
                    SELECT 1 FROM _starling_row r WHERE r.tbl = d.tbl AND r.key = d.key)
                """)
            if lost != 0 { found.append("\(lost ?? 0) rows wait to be collected and are gone") }
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

    /// A deleted row waits under one of its dots, and no other row waits.
    private func queueProblems(
        _ entry: TableEntry, key: [UInt8], _ kernel: Kernel, name: String
    ) throws -> [String] {
        let place = try connection.query(
            "SELECT origin, number FROM _starling_deleted WHERE tbl = ?1 AND key = ?2",
            [.integer(entry.id), .blob(key)])
        let isDeleted = isCollectable(kernel, entry)
        guard isDeleted, let found = place.first else {
            if isDeleted { return ["\(name): deleted, and waits for nobody"] }
            return place.isEmpty ? [] : ["\(name): waits to be collected and is not deleted"]
        }
        let isKnown = kernel.writes.contains { write in
            found == [
                .integer(Int64(ordinals[write.dot.origin] ?? -1)),
                .integer(Int64(write.dot.number)),
            ]
        }
        return isKnown ? [] : ["\(name): waits under a dot that it has not"]
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

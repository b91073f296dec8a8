// Chunks of a delta, the kernels in them, and the records that a file keeps.

import CausalModel
import Codec
import Values

@testable import Store

/// A table with four columns and two layouts, as chunks and records name it.
func sampleEntry() -> TableEntry {
    TableEntry(
        id: 1, name: "tasks", state: .live, policy: .addWins,
        columns: ["title", "done", "note", "é"].map {
            TableEntry.Column(name: $0, nameHash: TableEntry.hash($0), isDropped: false)
        }, layouts: [[0, 1, 2, 3], [0, 2], []])
}

/// An insert, an update, a delete, siblings, births apart, omitted values.
func sampleKernels() -> [Kernel] {
    let (a, b) = (sampleOrigins[0], sampleOrigins[1])
    let insert = Write(
        dot: Dot(a, 1), stamp: Stamp(milliseconds: 1_800_000_000_000),
        birth: Birth(Stamp(milliseconds: 1_800_000_000_000), a), columns: .all,
        values: [
            ColumnValue(0, .string("n")), ColumnValue(1, .integer(7)), ColumnValue(2, .null),
            ColumnValue(3, .blob([1])),
        ])
    var partial = insert
    partial.dot = Dot(b, 4)
    partial.columns = ColumnSet(isAll: true, listed: [1, 3])
    partial.values = [ColumnValue(0, .real(0.5)), ColumnValue(2, .integer(-1))]
    let update = Write(
        dot: Dot(b, 9), stamp: Stamp(milliseconds: 1_800_000_000_123, counter: 2),
        birth: insert.birth, columns: ColumnSet([0, 2]),
        values: [ColumnValue(0, .string("x"))])
    let remove = Write(
        dot: Dot(b, 10), stamp: .ceiling, birth: insert.birth, isDelete: true, columns: .none)
    var omitted = update
    omitted.values = []
    omitted.areValuesOmitted = true
    return [[insert], [insert, update], [partial, remove], [omitted], [insert, partial, remove]]
        .map(Kernel.init(writes:))
}

/// The number of a layout that gives `write` the values it has.
func layoutNumber(_ write: Write, _ entry: TableEntry) throws -> Int {
    if write.areValuesOmitted, !entry.layouts.isEmpty { return 0 }
    let valued = write.values.map(\.column)
    let number = entry.layouts.firstIndex { layout in
        layout.filter { !write.columns.listed.contains($0) } == valued
    }
    guard let number else { throw FuzzFailure(description: "a write has values of no layout") }
    return number
}

/// What a chunk says.
private struct ChunkContent: Equatable {
    struct Row: Equatable {
        var table: String
        var key: [UInt8]
        var context: VersionVector?
        var writes: [Write]
    }

    var rows: [Row] = []
    var entries: [TableEntry] = []
    private var places: [Int] = []

    static func == (left: Self, right: Self) -> Bool { left.rows == right.rows }

    init(_ bytes: [UInt8]) throws(CodecError) {
        var decoder = try ChunkDecoder(bytes)
        for (index, table) in decoder.tables.enumerated() {
            let columns = table.columns.map {
                TableEntry.Column(name: $0, nameHash: 0, isDropped: false)
            }
            entries.append(
                TableEntry(
                    id: Int64(index), name: table.name, state: .live, policy: .addWins,
                    columns: columns, layouts: table.layouts))
        }
        while let row = try decoder.next() {
            places.append(row.table)
            rows.append(
                Row(
                    table: entries[row.table].name, key: row.key, context: row.context,
                    writes: row.writes))
        }
    }

    /// The same from the encoder.
    func encoded() throws -> [UInt8] {
        var encoder = ChunkEncoder(stampBase: 0)
        for (row, place) in zip(rows, places) {
            let entry = entries[place]
            try encoder.add(
                entry, key: row.key, kernel: Kernel(writes: row.writes), context: row.context,
                base: VersionVector(), layout: { try layoutNumber($0, entry) })
        }
        return encoder.finish()
    }
}

func sampleChunk(stampBase: Int64 = 1_800_000_000_000) throws -> [UInt8] {
    let entry = sampleEntry()
    var encoder = ChunkEncoder(stampBase: stampBase)
    for (index, kernel) in sampleKernels().enumerated() {
        try encoder.add(
            entry, key: encodeKey([.integer(Int64(index))]), kernel: kernel,
            context: index == 2 ? sampleVectors[2] : nil, base: VersionVector(),
            layout: { try layoutNumber($0, entry) })
    }
    return encoder.finish()
}

extension FuzzTarget {
    static let chunk = FuzzTarget(
        name: "chunk", bytesMax: 512,
        seeds: {
            let entry = sampleEntry()
            let single = try sampleKernels().map { kernel in
                var encoder = ChunkEncoder(stampBase: 0)
                try encoder.add(
                    entry, key: [0x15], kernel: kernel, context: nil, base: VersionVector(),
                    layout: { try layoutNumber($0, entry) })
                return encoder.finish()
            }
            return try [sampleChunk(), ChunkEncoder(stampBase: 5).finish()] + single
        },
        check: { bytes in
            let content: ChunkContent
            do throws(CodecError) { content = try ChunkContent(bytes) } catch { return }
            let again = try ChunkContent(try content.encoded())
            try promise(again == content, "a chunk does not come again")
        })

    /// Kernels of a peer, joined in all the ways a replica does.
    static let kernel = FuzzTarget(
        name: "kernel", bytesMax: 384,
        seeds: {
            try [sampleChunk(), sampleChunk(stampBase: 0)].map { chunk in
                [1, 2, 3] + chunk
            }
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            let seen = (0..<3).map { (sampleOrigins[$0], UInt64(input.byte() & 15)) }
            let mine = VersionVector(seen.prefix(2))
            let theirs = VersionVector(seen.suffix(2))
            let content: ChunkContent
            do throws(CodecError) { content = try ChunkContent(input.all()) } catch { return }
            var joined = Kernel()
            for row in content.rows.prefix(8) {
                let other = Kernel(writes: row.writes)
                let before = joined
                joined.join(
                    other, hasSeen: { mine.contains($0) }, otherHasSeen: { theirs.contains($0) })
                let dots = joined.writes.map(\.dot)
                try promise(
                    zip(dots, dots.dropFirst()).allSatisfy { $0 < $1 }, "writes out of order")
                try promise(
                    joined.writes.allSatisfy { write in
                        before.writes.contains { $0.dot == write.dot }
                            || other.writes.contains { $0.dot == write.dot }
                    }, "a write came from nowhere")
                var twice = joined
                twice.join(joined, hasSeen: { _ in true }, otherHasSeen: { _ in true })
                try promise(twice == joined, "a kernel joined with itself is another")
                _ = (joined.isVisible(.addWins), joined.isVisible(.deleteWins), joined.birth)
                for column in joined.valuedColumns { _ = joined.shown(column) }
            }
        })

    /// Kernels as a file keeps them.
    static let record = FuzzTarget(
        name: "record", bytesMax: 256,
        seeds: {
            let entry = sampleEntry()
            return try sampleKernels().flatMap { kernel in
                try [true, false].map { isShown in
                    try RowRecord.encode(
                        kernel, isShown: isShown, isInTable: { $1.column != 2 },
                        originIndex: { sampleOrigins.firstIndex(of: $0) ?? 0 },
                        layout: { try layoutNumber($0, entry) })
                }
            }
        },
        check: { bytes in
            let entry = sampleEntry()
            let decoded: RowRecord.Decoded
            do {
                decoded = try RowRecord.decode(bytes, origins: sampleOrigins, entry: entry)
            } catch { return }
            var writer = ByteWriter()
            writer.byte(decoded.isShown ? RowRecord.shown : 0)
            writer.varint(decoded.writes.count)
            for item in decoded.writes {
                var whole = item.write
                whole.values = (whole.values + item.tableColumns.map { ColumnValue($0, .null) })
                    .sorted { $0.column < $1.column }
                writer.write(
                    whole, in: .stored,
                    originIndex: { sampleOrigins.firstIndex(of: $0) ?? 0 },
                    layout: whole.columns.isAll ? try layoutNumber(whole, entry) : 0,
                    explicit: item.write.values)
            }
            let again = try RowRecord.decode(writer.bytes, origins: sampleOrigins, entry: entry)
            try promise(
                again.isShown == decoded.isShown
                    && again.writes.map(\.write) == decoded.writes.map(\.write)
                    && again.writes.map(\.tableColumns) == decoded.writes.map(\.tableColumns),
                "a record does not come again")
        })
}

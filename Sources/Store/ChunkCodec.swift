// The bytes of one chunk of a delta: a dictionary of origins, contexts and tables, then rows. A
// chunk is self-contained, so that it can be joined whatever came before it.

internal import CausalModel
internal import Codec
internal import Values

// Chunk: stamp base, origins, contexts, tables (name, columns, layouts), rows (table, key, context
// or 0, writes). Column and layout numbers are the sender's.
struct ChunkEncoder {
    private var rows = ByteWriter(reserving: 64 * 1024)
    private(set) var count = 0
    private var origins: [Origin] = []
    private var originPlaces: [Origin: Int] = [:]
    private var contexts: [VersionVector] = []
    private var tables: [TableEntry] = []
    private var tablePlaces: [Int64: Int] = [:]
    private let stampBase: Int64

    init(stampBase: Int64) { self.stampBase = stampBase }

    var byteCount: Int { rows.bytes.count }

    /// Adds a row; values of dots that `base` covers are left out.
    mutating func add(
        _ entry: TableEntry, key: [UInt8], kernel: Kernel, context: VersionVector?,
        base: VersionVector, layout: (Write) throws -> Int
    ) rethrows {
        let table = place(of: entry)
        rows.varint(table)
        rows.string(key)
        if let context {
            let place = contexts.lastIndex(of: context) ?? contexts.endIndex
            if place == contexts.endIndex { contexts.append(context) }
            rows.varint(place + 1)
        } else {
            rows.varint(0)
        }
        rows.varint(kernel.writes.count)
        let form = WriteContext(stampBase: stampBase, isComplete: true)
        for var write in kernel.writes {
            let number = write.columns.isAll ? try layout(write) : 0
            if !write.values.isEmpty, base.contains(write.dot) {
                write.values = []
                write.areValuesOmitted = true
            }
            let origin = place(of: write.dot.origin)
            let birth =
                write.birth.origin == write.dot.origin ? origin : place(of: write.birth.origin)
            rows.write(
                write, in: form, originIndex: { $0 == write.dot.origin ? origin : birth },
                layout: number, explicit: write.values)
        }
        count += 1
    }

    private mutating func place(of origin: Origin) -> Int {
        if let place = originPlaces[origin] { return place }
        originPlaces[origin] = origins.count
        origins.append(origin)
        return origins.count - 1
    }

    private mutating func place(of entry: TableEntry) -> Int {
        if let place = tablePlaces[entry.id] { return place }
        tablePlaces[entry.id] = tables.count
        tables.append(entry)
        return tables.count - 1
    }

    func finish() -> [UInt8] {
        var writer = ByteWriter(reserving: rows.bytes.count + 256)
        writer.zigzag(stampBase)
        writer.varint(origins.count)
        for origin in origins {
            writer.fixed64(origin.high)
            writer.fixed64(origin.low)
        }
        writer.varint(contexts.count)
        for context in contexts { writer.raw(context.encoded) }
        writer.varint(tables.count)
        for entry in tables {
            writer.string(Array(entry.name.utf8))
            writer.varint(entry.columns.count)
            for column in entry.columns { writer.string(Array(column.name.utf8)) }
            writer.varint(entry.layouts.count)
            for layout in entry.layouts {
                writer.varint(layout.count)
                for column in layout { writer.varint(UInt64(column)) }
            }
        }
        writer.varint(count)
        writer.raw(rows.bytes)
        return writer.bytes
    }
}

/// A table as a chunk names it.
struct ChunkTable {
    var name: String
    var columns: [String]
    var layouts: [[ColumnID]]
}

/// One row of a chunk; columns are the sender's numbers.
struct ChunkRow {
    var table: Int
    var key: [UInt8]
    var context: VersionVector?
    var writes: [Write]
}

/// Reads a chunk row by row. Every count is bounded by the bytes that are there.
struct ChunkDecoder {
    private var reader: ByteReader
    private let stampBase: Int64
    private var origins: [Origin] = []
    private var contexts: [VersionVector] = []
    private(set) var tables: [ChunkTable] = []
    private var remaining = 0

    init(_ bytes: [UInt8]) throws(CodecError) {
        reader = ByteReader(bytes)
        stampBase = try reader.zigzag()
        for _ in 0..<(try reader.count()) {
            origins.append(Origin(high: try reader.fixed64(), low: try reader.fixed64()))
        }
        for _ in 0..<(try reader.count()) {
            contexts.append(try VersionVector(from: &reader))
        }
        for _ in 0..<(try reader.count()) { tables.append(try ChunkDecoder.table(&reader)) }
        remaining = try reader.count()
    }

    private static func table(_ reader: inout ByteReader) throws(CodecError) -> ChunkTable {
        var table = ChunkTable(name: try name(&reader), columns: [], layouts: [])
        let columns = try reader.count()
        guard columns <= Limits.columnsMax else {
            throw CodecError(.tooLarge, "a table has too many columns")
        }
        for _ in 0..<columns { table.columns.append(try name(&reader)) }
        for _ in 0..<(try reader.count()) {
            var layout: [ColumnID] = []
            for _ in 0..<(try reader.count()) {
                let column = ColumnID(try reader.index(below: columns))
                guard layout.last.map({ $0 < column }) ?? true else {
                    throw CodecError(.malformed, "a layout is not in order")
                }
                layout.append(column)
            }
            table.layouts.append(layout)
        }
        return table
    }

    private static func name(_ reader: inout ByteReader) throws(CodecError) -> String {
        guard let name = String(validating: try reader.string(), as: UTF8.self), !name.isEmpty
        else { throw CodecError(.malformed, "a name is empty or not UTF-8") }
        return name
    }

    mutating func next() throws(CodecError) -> ChunkRow? {
        guard remaining > 0 else {
            try reader.requireEnd()
            return nil
        }
        remaining -= 1
        let table = try reader.index(below: tables.count)
        let key = try reader.string()
        let context = try reader.index(below: contexts.count + 1)
        let count = try reader.count()
        guard count > 0, count <= Limits.kernelWritesMax else {
            throw CodecError(.malformed, "a row without writes, or with too many")
        }
        let description = tables[table]
        let form = WriteContext(stampBase: stampBase, isComplete: true)
        var writes: [Write] = []
        writes.reserveCapacity(count)
        for _ in 0..<count {
            let decoded = try reader.write(
                in: form, origins: origins, columnBound: description.columns.count,
                layouts: {
                    description.layouts.indices.contains($0) ? description.layouts[$0] : nil
                })
            guard writes.last.map({ $0.dot < decoded.write.dot }) ?? true else {
                throw CodecError(.malformed, "the writes of a row are not in order")
            }
            guard !decoded.write.isDead else {
                throw CodecError(.malformed, "a write without effect")
            }
            writes.append(decoded.write)
        }
        return ChunkRow(
            table: table, key: key, context: context > 0 ? contexts[context - 1] : nil,
            writes: writes)
    }
}

// The stored form of one row's kernel: one packed record, values only where the app's table does
// not hold them.

internal import CausalModel
internal import Codec
internal import Values

// Record: a flags byte (1: shown), the number of writes, the writes.
enum RowRecord {
    static let shown: UInt8 = 1

    /// - Parameters:
    ///   - isShown: the row stands in its table; values that the table holds are left out.
    static func encode(
        _ kernel: Kernel, isShown: Bool, isInTable: (Write, ColumnValue) -> Bool,
        originIndex: (Origin) -> Int, layout: (Write) throws -> Int
    ) rethrows -> [UInt8] {
        var writer = ByteWriter(reserving: 24)
        writer.byte(isShown ? shown : 0)
        writer.varint(kernel.writes.count)
        for write in kernel.writes {
            let explicit =
                isShown ? write.values.filter { !isInTable(write, $0) } : write.values
            let number = write.columns.isAll ? try layout(write) : 0
            writer.write(
                write, in: .stored, originIndex: originIndex, layout: number, explicit: explicit)
        }
        return writer.bytes
    }

    struct Decoded {
        var isShown: Bool
        var writes: [DecodedWrite]
    }

    static func decode(_ bytes: [UInt8], origins: [Origin], entry: TableEntry)
        throws(CodecError) -> Decoded
    {
        var reader = ByteReader(bytes)
        let flags = try reader.byte()
        let count = try reader.count()
        var writes: [DecodedWrite] = []
        writes.reserveCapacity(count)
        for _ in 0..<count {
            writes.append(
                try reader.write(
                    in: .stored, origins: origins, columnBound: entry.columns.count,
                    layouts: { entry.layouts.indices.contains($0) ? entry.layouts[$0] : nil }))
        }
        try reader.requireEnd()
        return Decoded(isShown: flags & shown != 0, writes: writes)
    }
}

/// A row's part of its table's digest: a commutative sum over its live dots and values, the same
/// on every replica whatever its local numbering of tables, columns and origins.
enum RowHash {
    static func of(
        _ kernel: Kernel, key: [UInt8], entry: TableEntry, scratch: inout ByteWriter
    ) -> UInt64 {
        var sum: UInt64 = 0
        for write in kernel.writes {
            scratch.bytes.removeAll(keepingCapacity: true)
            scratch.raw(key)
            scratch.fixed64(write.dot.origin.high)
            scratch.fixed64(write.dot.origin.low)
            scratch.fixed64(write.dot.number)
            scratch.fixed64(write.stamp.raw)
            scratch.fixed64(write.birth.stamp.raw)
            scratch.fixed64(write.birth.origin.high)
            scratch.fixed64(write.birth.origin.low)
            scratch.byte(
                (write.isDelete ? 1 : 0) | (write.isPresent ? 2 : 0)
                    | (write.columns.isAll ? 4 : 0))
            let base = hash64(scratch.bytes, seed: entry.nameHash)
            sum &+= base
            for column in write.columns.listed {
                sum &+= mix(base ^ mix(entry.columns[Int(column)].nameHash))
            }
            for item in write.values {
                scratch.bytes.removeAll(keepingCapacity: true)
                // SQL cannot tell -0.0 from 0.0, so a change from one to the other is never
                // captured.
                scratch.value(item.value == .real(-0.0) ? .real(0) : item.value)
                sum &+= hash64(
                    scratch.bytes, seed: base &+ entry.columns[Int(item.column)].nameHash)
            }
        }
        return sum
    }

    /// The finalizer of SplitMix64: a bijection that spreads every bit.
    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

// The bytes of one write of a kernel: the same form in stored records and in chunks. They differ in
// what origins and layouts are numbered by, and in which values are spelled out.

package import CausalModel
package import Codec
internal import Values

/// The numbering that one record or chunk uses.
///
/// `layouts` name the columns of which an insert has values: `[ColumnID]`, ascending.
struct WriteContext {
    /// Milliseconds that stamps are written relative to.
    var stampBase: Int64
    /// True: every value is written, in column order, without its column (chunks). False: only the
    /// values that the table does not hold, each with its column (stored records).
    var isComplete: Bool

    /// 2025-01-01: keeps stamps in stored records short.
    static let storedBase: Int64 = 1_735_689_600_000
    static let stored = WriteContext(stampBase: storedBase, isComplete: false)
}

private enum Flag {
    static let delete: UInt8 = 1
    static let present: UInt8 = 2
    static let all: UInt8 = 4
    static let listed: UInt8 = 8
    static let values: UInt8 = 16
    static let ownBirth: UInt8 = 32
    static let omitted: UInt8 = 64
    static let absent: UInt8 = 128
}

extension ByteWriter {
    mutating func stamp(_ stamp: Stamp, base: Int64) {
        let milliseconds = stamp.milliseconds
        let isFine = milliseconds % 1000 != 0
        let difference = isFine ? milliseconds - base : (milliseconds - base) / 1000
        let folded = UInt64(bitPattern: difference << 1) ^ UInt64(bitPattern: difference >> 63)
        let hasCounter = stamp.counter != 0
        varint(folded << 2 | (isFine ? 1 : 0) | (hasCounter ? 2 : 0))
        if hasCounter { varint(UInt64(stamp.counter)) }
    }

    /// Writes one write of a kernel.
    ///
    /// - Parameters:
    ///   - layout: the number of a layout whose columns, less the listed ones, are the valued ones;
    ///     used for writes of all columns.
    ///   - explicit: the values to spell out, ascending by column.
    mutating func write(
        _ write: Write, in context: WriteContext, originIndex: (Origin) -> Int, layout: Int,
        explicit: [ColumnValue]
    ) {
        let hasOwnBirth = write.birth.stamp == write.stamp && write.birth.origin == write.dot.origin
        let listed = write.columns.listed
        var absent: [ColumnID] = []
        if !write.columns.isAll, !write.areValuesOmitted, write.values.count != listed.count {
            absent = listed.filter { write.value($0) == nil }
        }
        var flags: UInt8 = 0
        if write.isDelete { flags |= Flag.delete }
        if write.isPresent { flags |= Flag.present }
        if write.columns.isAll { flags |= Flag.all }
        if !listed.isEmpty { flags |= Flag.listed }
        if !explicit.isEmpty { flags |= Flag.values }
        if hasOwnBirth { flags |= Flag.ownBirth }
        if write.areValuesOmitted { flags |= Flag.omitted }
        if !absent.isEmpty { flags |= Flag.absent }
        byte(flags)
        varint(originIndex(write.dot.origin))
        varint(write.dot.number)
        stamp(write.stamp, base: context.stampBase)
        if !hasOwnBirth {
            stamp(write.birth.stamp, base: context.stampBase)
            varint(originIndex(write.birth.origin))
        }
        if !listed.isEmpty { columns(listed) }
        if !absent.isEmpty { columns(absent) }
        if write.columns.isAll { varint(layout) }
        if explicit.isEmpty { return }
        if context.isComplete {
            for entry in explicit { value(entry.value) }
        } else {
            varint(explicit.count)
            for entry in explicit {
                varint(UInt64(entry.column))
                value(entry.value)
            }
        }
    }

    private mutating func columns(_ columns: [ColumnID]) {
        varint(columns.count)
        for column in columns { varint(UInt64(column)) }
    }
}

/// A decoded write, and which of its columns have a value that the bytes do not spell out.
struct DecodedWrite {
    var write: Write
    /// Ascending; empty for complete writes.
    var tableColumns: [ColumnID]
}

extension ByteReader {
    mutating func stamp(base: Int64) throws(CodecError) -> Stamp {
        let code = try varint()
        let folded = code >> 2
        let difference = Int64(bitPattern: folded >> 1) ^ -Int64(bitPattern: folded & 1)
        let unit: Int64 = code & 1 == 1 ? 1 : 1000
        let scaled = difference.multipliedReportingOverflow(by: unit)
        let milliseconds = scaled.partialValue.addingReportingOverflow(base)
        guard !scaled.overflow, !milliseconds.overflow,
            (0..<(1 << 47)).contains(milliseconds.partialValue)
        else { throw CodecError(.malformed, "a stamp is out of range") }
        let counter = code & 2 == 2 ? try varint() : 0
        guard counter <= UInt16.max else {
            throw CodecError(.malformed, "a stamp's counter is out of range")
        }
        return Stamp(milliseconds: milliseconds.partialValue, counter: UInt16(counter))
    }

    /// Reads one write. `layouts` gives the columns of a layout's number; nil when there is none.
    mutating func write(
        in context: WriteContext, origins: [Origin], columnBound: Int,
        layouts: (Int) -> [ColumnID]?
    ) throws(CodecError) -> DecodedWrite {
        let flags = try byte()
        let origin = origins[try index(below: origins.count)]
        let number = try varint()
        guard number > 0, number < Limits.numberMax else {
            throw CodecError(.malformed, "a dot's number is out of range")
        }
        let stamp = try stamp(base: context.stampBase)
        var birth = Birth(stamp, origin)
        if flags & Flag.ownBirth == 0 {
            let birthStamp = try self.stamp(base: context.stampBase)
            birth = Birth(birthStamp, origins[try index(below: origins.count)])
        }
        let listed = flags & Flag.listed != 0 ? try columns(below: columnBound) : []
        let absent = flags & Flag.absent != 0 ? try columns(below: columnBound) : []
        let isAll = flags & Flag.all != 0
        let isOmitted = flags & Flag.omitted != 0
        var valued: [ColumnID]
        if isAll {
            guard let layout = layouts(Int(truncatingIfNeeded: try varint())) else {
                throw CodecError(.malformed, "an unknown column layout")
            }
            valued = difference(layout, listed)
        } else {
            valued = difference(listed, absent)
        }
        if isOmitted { valued = [] }
        var values: [ColumnValue] = []
        if context.isComplete {
            guard (flags & Flag.values != 0) == !valued.isEmpty else {
                throw CodecError(.malformed, "a write's values are missing")
            }
            values.reserveCapacity(valued.count)
            for column in valued { values.append(ColumnValue(column, try value())) }
            valued = []
        } else if flags & Flag.values != 0 {
            for _ in 0..<(try count()) {
                let column = ColumnID(try index(below: columnBound))
                guard valued.contains(column), values.last.map({ $0.column < column }) ?? true
                else {
                    throw CodecError(
                        .malformed, "a value of a column that the write lacks, or out of order")
                }
                values.append(ColumnValue(column, try value()))
            }
            let explicit = values
            valued.removeAll { column in explicit.contains { $0.column == column } }
        }
        let write = Write(
            dot: Dot(origin, number), stamp: stamp, birth: birth,
            isDelete: flags & Flag.delete != 0, isPresent: flags & Flag.present != 0,
            columns: ColumnSet(isAll: isAll, listed: listed), values: values,
            areValuesOmitted: isOmitted)
        return DecodedWrite(write: write, tableColumns: valued)
    }

    /// `columns` without `removed`; both ascend. Linear: a peer may send wide tables by the million.
    private func difference(_ columns: [ColumnID], _ removed: [ColumnID]) -> [ColumnID] {
        if removed.isEmpty { return columns }
        var rest = removed[...]
        return columns.filter { column in
            while let first = rest.first, first < column { rest.removeFirst() }
            return rest.first != column
        }
    }

    /// Ascending columns without repetition.
    private mutating func columns(below bound: Int) throws(CodecError) -> [ColumnID] {
        var columns: [ColumnID] = []
        for _ in 0..<(try count()) {
            let column = ColumnID(try index(below: bound))
            guard columns.last.map({ $0 < column }) ?? true else {
                throw CodecError(.malformed, "columns are not in order")
            }
            columns.append(column)
        }
        return columns
    }
}

extension VersionVector {
    /// Count, then origin bytes and number, ascending by origin.
    package var encoded: [UInt8] {
        var writer = ByteWriter(reserving: entries.count * 20 + 1)
        writer.varint(entries.count)
        for entry in entries {
            writer.fixed64(entry.origin.high)
            writer.fixed64(entry.origin.low)
            writer.varint(entry.number)
        }
        return writer.bytes
    }

    package init(decoding bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        try self.init(from: &reader)
        try reader.requireEnd()
    }

    init(from reader: inout ByteReader) throws(CodecError) {
        self.init()
        var last: Origin?
        for _ in 0..<(try reader.count()) {
            let origin = Origin(high: try reader.fixed64(), low: try reader.fixed64())
            let number = try reader.varint()
            guard last.map({ $0 < origin }) ?? true, number > 0, number < Limits.numberMax else {
                throw CodecError(.malformed, "a version vector is not in order or out of range")
            }
            self[origin] = number
            last = origin
        }
    }
}

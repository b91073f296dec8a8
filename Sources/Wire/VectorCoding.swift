// Version vectors, dots and origins as compact byte strings.

package import CausalModel
internal import Codec

/// Count, then for each origin, ascending: 16 bytes and its number as LEB128.
package func encodeVector(_ vector: VersionVector) -> [UInt8] {
    var writer = ByteWriter(reserving: 2 + 20 * vector.entries.count)
    writer.varint(vector.entries.count)
    for entry in vector.entries {
        writer.fixed64(entry.origin.high)
        writer.fixed64(entry.origin.low)
        writer.varint(entry.number)
    }
    return writer.bytes
}

/// Reverses ``encodeVector(_:)``; origins must ascend strictly and numbers lie in 1..<2^60.
package func decodeVector(_ bytes: [UInt8]) throws(WireError) -> VersionVector {
    do throws(CodecError) {
        var reader = ByteReader(bytes)
        let count = try reader.count()
        guard count <= WireLimits.vectorOriginsMax else {
            throw CodecError(.tooLarge, "a vector names too many origins")
        }
        var pairs: [(Origin, UInt64)] = []
        pairs.reserveCapacity(count)
        for _ in 0..<count {
            let origin = Origin(high: try reader.fixed64(), low: try reader.fixed64())
            let number = try reader.varint()
            guard number > 0, number <= WireLimits.numberMax else {
                throw CodecError(.malformed, "a number in a vector is out of range")
            }
            if let last = pairs.last, last.0 >= origin {
                throw CodecError(.malformed, "the origins of a vector do not ascend")
            }
            pairs.append((origin, number))
        }
        try reader.requireEnd()
        return VersionVector(pairs)
    } catch {
        throw WireError(error.code == .tooLarge ? .tooLarge : .malformed, error.message)
    }
}

/// `vector` as the entries in which it differs from `base`; a number of 0 says "none".
///
/// A live delta moves one origin by one: its header names that origin once, not the group twice.
package func encodeVector(_ vector: VersionVector, against base: VersionVector) -> [UInt8] {
    var changed: [(Origin, UInt64)] = []
    for entry in vector.entries where base[entry.origin] != entry.number {
        changed.append((entry.origin, entry.number))
    }
    for entry in base.entries where vector[entry.origin] == 0 { changed.append((entry.origin, 0)) }
    changed.sort { $0.0 < $1.0 }
    var writer = ByteWriter(reserving: 2 + 20 * changed.count)
    writer.varint(changed.count)
    for (origin, number) in changed {
        writer.fixed64(origin.high)
        writer.fixed64(origin.low)
        writer.varint(number)
    }
    return writer.bytes
}

/// Reverses ``encodeVector(_:against:)``.
package func decodeVector(_ bytes: [UInt8], against base: VersionVector) throws(WireError)
    -> VersionVector
{
    do throws(CodecError) {
        var reader = ByteReader(bytes)
        var pairs: [(Origin, UInt64)] = []
        var rest = base.entries[...]
        var last: Origin?
        for _ in 0..<(try reader.count()) {
            let origin = Origin(high: try reader.fixed64(), low: try reader.fixed64())
            let number = try reader.varint()
            if let last, last >= origin {
                throw CodecError(.malformed, "the origins of a vector do not ascend")
            }
            last = origin
            while let entry = rest.first, entry.origin < origin {
                pairs.append((entry.origin, entry.number))
                rest.removeFirst()
            }
            var held: UInt64 = 0
            if let entry = rest.first, entry.origin == origin {
                held = entry.number
                rest.removeFirst()
            }
            guard number <= WireLimits.numberMax, number != held else {
                throw CodecError(.malformed, "a number in a vector is out of range")
            }
            if number > 0 { pairs.append((origin, number)) }
        }
        pairs.append(contentsOf: rest.map { ($0.origin, $0.number) })
        try reader.requireEnd()
        let vector = VersionVector(pairs)
        guard vector.entries.count <= WireLimits.vectorOriginsMax else {
            throw CodecError(.tooLarge, "a vector names too many origins")
        }
        return vector
    } catch {
        throw WireError(error.code == .tooLarge ? .tooLarge : .malformed, error.message)
    }
}

/// 16 bytes of origin, then the number as LEB128.
func encodeDot(_ dot: Dot) -> [UInt8] {
    var writer = ByteWriter(reserving: 24)
    writer.fixed64(dot.origin.high)
    writer.fixed64(dot.origin.low)
    writer.varint(dot.number)
    return writer.bytes
}

func decodeDot(_ bytes: [UInt8]) throws(WireError) -> Dot {
    do throws(CodecError) {
        var reader = ByteReader(bytes)
        let origin = Origin(high: try reader.fixed64(), low: try reader.fixed64())
        let number = try reader.varint()
        try reader.requireEnd()
        guard number <= WireLimits.numberMax else {
            throw CodecError(.malformed, "the number of a position is out of range")
        }
        return Dot(origin, number)
    } catch {
        throw WireError(.malformed, error.message)
    }
}

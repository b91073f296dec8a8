// The checksum at the end of every frame. TCP's own has 16 bits and is made anew by every machine on
// the way that opens a segment: what it misses must not become somebody's data.

internal import Codec

/// Closes and opens frames: eight bytes of XXH3, little-endian, behind the content.
///
/// It finds accidents. It resists no attacker, who can make it as well as we can.
package enum FrameChecksum {
    package static let bytes = 8

    /// The frame with its checksum behind it.
    package static func close(_ frame: [UInt8]) -> [UInt8] {
        var closed = frame
        closed.reserveCapacity(frame.count + bytes)
        withUnsafeBytes(of: hash64(frame).littleEndian) { closed.append(contentsOf: $0) }
        return closed
    }

    /// What ``close(_:)`` was given.
    ///
    /// - Throws: ``WireError`` when the checksum is not that of the content, or there is none.
    package static func open(_ closed: [UInt8]) throws(WireError) -> [UInt8] {
        guard closed.count >= bytes else {
            throw WireError(
                .malformed, "a frame has no checksum: the other side is no Starling node")
        }
        let content = Array(closed.dropLast(bytes))
        let stated = closed.suffix(bytes).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard stated == hash64(content) else {
            throw WireError(
                .malformed, "a frame was damaged on its way: its checksum is not of its content")
        }
        return content
    }
}

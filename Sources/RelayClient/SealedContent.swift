// What is inside a sealed entry, and its form as bytes.

internal import Codec

/// What an entry is for: a byte of the caller's choice, encrypted and signed with the content.
package struct EntryPurpose: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A part of a delta, in the log.
    package static let deltaPart = EntryPurpose(rawValue: 1)
    /// Grants of an epoch's secret, in the log.
    package static let keyEntry = EntryPurpose(rawValue: 2)
    /// A part of a snapshot.
    package static let snapshotPart = EntryPurpose(rawValue: 3)
}

/// An opened entry: all of it is its author's word.
package struct SealedContent: Equatable, Sendable {
    package var purpose: EntryPurpose
    /// The node id of who sealed it, whose signature was verified.
    package var author: String
    /// The epoch in which it was sealed.
    package var epoch: EpochID
    package var header: [UInt8]
    package var body: [UInt8]

    package init(
        purpose: EntryPurpose, author: String, epoch: EpochID, header: [UInt8], body: [UInt8]
    ) {
        self.purpose = purpose
        self.author = author
        self.epoch = epoch
        self.header = header
        self.body = body
    }
}

/// The plain bytes of an entry.
///
///     plain   = signed  signature (64)  zeros
///     signed  = author (16)  purpose (1)  packing (1: 0 none, 1 Zstandard)
///               header length (4)  payload length (4)  header  payload
struct PlainEntry {
    static let signatureBytes = 64
    private static let fixedBytes = Nodes.byteCount + 2 + 8

    var author: [UInt8]
    var purpose: EntryPurpose
    var isPacked: Bool
    var header: [UInt8]
    var payload: [UInt8]

    /// Packs the body where that makes it shorter.
    init(author: [UInt8], purpose: EntryPurpose, header: [UInt8], body: [UInt8]) {
        self.author = author
        self.purpose = purpose
        self.header = header
        let packed =
            body.count < RelayClientLimits.packedBytesMin ? nil : Zstandard.compress(body)
        isPacked = packed != nil
        payload = packed ?? body
    }

    /// What the author signs.
    var signed: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.fixedBytes + header.count + payload.count)
        bytes += author
        bytes += [purpose.rawValue, isPacked ? 1 : 0]
        bytes += BigEndian.bytes(UInt32(header.count))
        bytes += BigEndian.bytes(UInt32(payload.count))
        bytes += header
        bytes += payload
        return bytes
    }

    /// Reads the plain bytes; nil for any other form, zeros that are none included.
    static func decode(_ plain: [UInt8]) -> (
        entry: PlainEntry, signed: [UInt8], signature: [UInt8]
    )? {
        guard plain.count >= fixedBytes + signatureBytes, plain[Nodes.byteCount + 1] <= 1 else {
            return nil
        }
        func length(at place: Int) -> Int {
            plain[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        let (header, payload) = (length(at: Nodes.byteCount + 2), length(at: Nodes.byteCount + 6))
        let end = fixedBytes + header + payload
        guard end + signatureBytes <= plain.count,
            plain[(end + signatureBytes)...].allSatisfy({ $0 == 0 })
        else { return nil }
        var entry = PlainEntry(
            author: Array(plain[..<Nodes.byteCount]),
            purpose: EntryPurpose(rawValue: plain[Nodes.byteCount]), header: [], body: [])
        entry.isPacked = plain[Nodes.byteCount + 1] == 1
        entry.header = Array(plain[fixedBytes..<fixedBytes + header])
        entry.payload = Array(plain[fixedBytes + header..<end])
        return (entry, Array(plain[..<end]), Array(plain[end..<end + signatureBytes]))
    }
}

/// Lengths that tell little.
enum Padding {
    /// Padmé (K. Nikitin et al., "Reducing metadata leakage from encrypted files and communication with
    /// PURBs", PETS 2019): at most 12 % more, less for what is large; of a length's bits only the first
    /// log2(log2(length)) stay.
    ///
    /// - Returns: `count` or more, ``RelayClientLimits/paddedBytesMin`` at least.
    static func padded(_ count: Int) -> Int {
        guard count > RelayClientLimits.paddedBytesMin else {
            return RelayClientLimits.paddedBytesMin
        }
        let exponent = Int.bitWidth - 1 - count.leadingZeroBitCount
        let kept = Int.bitWidth - exponent.leadingZeroBitCount
        let mask = (1 << (exponent - kept)) - 1
        return (count + mask) & ~mask
    }
}

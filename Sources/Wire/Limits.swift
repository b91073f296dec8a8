// Every bound of the wire format in one place. What arrives beyond one of them ends the
// connection with a reason; nothing is allocated for a size that is only claimed.

package enum WireLimits {
    /// The protocol versions this program speaks; independent of the program's version.
    package static let versions: ClosedRange<UInt64> = 1...1

    /// A peer is nobody before its hello is accepted.
    package static let helloBytesMax = 4 * 1024
    /// One frame after the handshake; longer messages are cut into parts.
    package static let frameBytesMax = 1024 * 1024
    /// The body of a chunk, decompressed: one row with very large values is the only reason to come
    /// near it, as the store ends chunks far earlier.
    package static let chunkBytesMax = 256 * 1024 * 1024
    /// A body above this travels as it is: what a peer makes this node hold is then what it sent,
    /// and one frame, whatever a compressed body claims or really unpacks to.
    package static let compressedBodyBytesMax = frameBytesMax
    /// A whole message, put together from its parts; only chunks are that long.
    package static let messageBytesMax = chunkBytesMax + 2 * frameBytesMax
    /// The same for messages that carry vectors or structures.
    package static let describingMessageBytesMax = 16 * frameBytesMax

    package static let groupBytesMax = 128
    package static let nodeBytesMax = 128
    /// Earlier origins in one statement.
    package static let continuedMax = 64
    /// Statements of others in one message.
    package static let reportsMax = 64
    package static let nameBytesMax = 256
    package static let goodbyeTextBytesMax = 1024
    /// Data items in a description of tables: each takes a byte on the wire and some fifty here.
    package static let schemaItemsMax = 1 << 20
    /// The same in any other message, fields of later versions included.
    package static let messageItemsMax = 1 << 10
    /// Origins in one vector: ten thousand is the largest group that is tested.
    package static let vectorOriginsMax = 50_000
    /// Sequence numbers stay below 2^60, so that sums of them cannot overflow.
    package static let numberMax: UInt64 = (1 << 60) - 1
    package static let rowsMax: UInt64 = 1 << 40
    package static let bytesMax: UInt64 = 1 << 50
    /// Credits in one message.
    package static let creditMax: UInt64 = 1 << 16

    /// Bodies below this are compressed harder: it costs nothing and they are most of the live
    /// stream.
    package static let smallBodyBytesMax = 16 * 1024
    // MARK: The log of a relay
    /// The rows of one part, unpacked. A chunk above it is cut into pieces.
    package static let logBodyBytesMax = 512 * 1024
    /// A whole message of a log, unpacked: the rows, vectors, and the structures of the tables.
    package static let logMessageBytesMax = 8 * 1024 * 1024
    package static let partsMax: UInt64 = 1 << 32
    /// Grants in one message.
    package static let grantsMax = 4_096

    /// Bodies below this are sent as they are: Zstandard's frame would cost more than it saves.
    package static let compressedBodyBytesMin = 96
}

// The limits of the transport, each a named constant with its unit last in the name.
// Relations between them are a test (LimitsTests).

/// What the transport accepts and keeps at most.
package enum TransportLimits {
    /// Payload of one frame before the peer has said who it is.
    package static let frameBytesMaxBeforeHello = 4 << 10
    /// One assembled message before the peer has said who it is.
    package static let messageBytesMaxBeforeHello = 64 << 10
    /// Payload of one frame afterwards.
    package static let frameBytesMax = 1 << 20
    /// One assembled message afterwards, unless the owner sets another limit.
    package static let messageBytesMax = 32 << 20
    /// The header of a frame: one flag and 31 bits of length.
    package static let frameHeaderBytes = 4
    /// The largest length that a header can state.
    package static let frameLengthBytesMax = Int(Int32.max)

    /// The buffer that all reads of a loop share.
    package static let readBufferBytes = 64 << 10
    /// One piece of a write queue.
    package static let writeChunkBytes = 64 << 10
    /// Pieces handed to the kernel in one call: as many as libuv keeps without an allocation.
    package static let writeChunksPerCall = 4
    /// Above this queue the owner should stop writing and wait for `onDrain`.
    package static let highWaterBytes = 1 << 20
    /// `onDrain` comes when the queue has fallen to this.
    package static let lowWaterBytes = 256 << 10
    /// A stream whose queue grows beyond this is closed: its peer does not read.
    package static let writeQueueBytesMax = 64 << 20

    /// Work that waits for the loop; `post` refuses more.
    package static let postedWorkCountMax = 65_536
    /// Connections that the kernel holds for a listener.
    package static let listenBacklogCount: Int32 = 511
    /// After a quiet time of this length the kernel asks whether the peer is still there.
    package static let keepAliveSeconds: UInt32 = 30
    /// How long `finish()` sends the queue and waits for the peer to end its side.
    package static let finishMillisecondsMax: UInt64 = 10_000
    /// How long `EventLoop.close()` waits for what cannot be cancelled (a running name look-up).
    package static let closeMillisecondsMax: UInt64 = 15_000
}

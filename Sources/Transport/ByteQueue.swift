// Bytes that wait for the kernel, at addresses that do not move while libuv reads them.

/// A first-in-first-out queue of bytes in pieces of fixed size.
///
/// Appending copies; consuming frees each piece as it empties, so memory follows the queue.
/// Complexity: append and consume are linear in their bytes.
final class ByteQueue {
    private static let chunkBytes = TransportLimits.writeChunkBytes

    private var chunks: [UnsafeMutableRawPointer] = []
    /// Consumed bytes of the first piece, and filled bytes of the last one.
    private var head = 0
    private var tail = 0
    /// Bytes in the queue.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            if chunks.isEmpty || tail == Self.chunkBytes {
                chunks.append(.allocate(byteCount: Self.chunkBytes, alignment: 16))
                tail = 0
            }
            let part = min(rest.count, Self.chunkBytes - tail)
            let source = UnsafeRawBufferPointer(rebasing: rest[..<part])
            UnsafeMutableRawBufferPointer(start: chunks[chunks.count - 1] + tail, count: part)
                .copyMemory(from: source)
            tail += part
            count += part
            rest = UnsafeRawBufferPointer(rebasing: rest[part...])
        }
    }

    /// The front of the queue, piece by piece; valid until those bytes are consumed.
    func forEachPiece(
        max pieces: Int, _ body: (_ start: UnsafeMutableRawPointer, _ count: Int) -> Void
    ) {
        var offset = head
        for index in 0..<min(pieces, chunks.count) {
            let end = index == chunks.count - 1 ? tail : Self.chunkBytes
            body(chunks[index] + offset, end - offset)
            offset = 0
        }
    }

    /// Drops `bytes` from the front. Precondition: the queue holds as many.
    func consume(_ bytes: Int) {
        precondition(bytes >= 0 && bytes <= count, "more was consumed than queued")
        count -= bytes
        let position = head + bytes
        let freed = count == 0 ? chunks.count : position / Self.chunkBytes
        for chunk in chunks[..<freed] { chunk.deallocate() }
        chunks.removeFirst(freed)
        head = count == 0 ? 0 : position % Self.chunkBytes
        if count == 0 { tail = 0 }
    }

    deinit {
        for chunk in chunks { chunk.deallocate() }
    }
}

// Writing: straight to the kernel while it takes bytes, through a queue when it does not.

internal import CUV

extension Stream {
    /// Bytes that the kernel has not taken yet.
    package var queuedBytes: Int { queue.count }

    /// Sends `bytes` after all that was written before.
    ///
    /// Accepts any amount up to ``writeQueueBytesMax``; a polite owner stops while
    /// ``isWritable`` is false and goes on in `onDrain`.
    ///
    /// - Parameter completion: runs once, later: with nil when the kernel has taken the bytes (the
    ///   peer need not have them), with the reason when the stream ended before.
    /// - Returns: false when the stream is closing or ending; then `completion` never runs.
    @discardableResult
    package func write(_ bytes: [UInt8], completion: ((TransportError?) -> Void)? = nil) -> Bool {
        guard isOpen, !isEnding else { return false }
        acceptedBytes += UInt64(bytes.count)
        if let completion { completions.append((acceptedBytes, completion)) }
        bytes.withUnsafeBytes { raw in
            let sent = queue.isEmpty ? tryWrite(raw) : 0
            queue.append(UnsafeRawBufferPointer(rebasing: raw[sent...]))
        }
        guard isOpen else { return true }
        if queue.isEmpty {
            if completion != nil { loop.soon { [self] in deliverCompletions() } }
            return true
        }
        if queue.count > highWaterBytes { isCongested = true }
        if queue.count > writeQueueBytesMax {
            close(
                .failed(
                    TransportError(
                        .queueFull,
                        "\(peerAddress) does not read: \(queue.count) bytes wait for it")))
        } else {
            startFlight()
        }
        return true
    }

    /// False from the moment when the queue has risen above ``highWaterBytes`` until `onDrain`, and
    /// on a stream that ends.
    package var isWritable: Bool { isOpen && !isEnding && !isCongested }

    /// Ends the stream politely: sends the queue, then the end of this side, drops what still
    /// arrives, and closes when the peer has ended too. Idempotent.
    ///
    /// A connection that is closed with unread bytes is reset, and the peer may lose the last
    /// words; this is how to say them.
    ///
    /// - Parameter timeout: milliseconds after which the stream closes, whatever is queued.
    package func finish(timeout: UInt64 = TransportLimits.finishMillisecondsMax) {
        guard isOpen, !isFinishing else { return }
        isFinishing = true
        finishTimer = loop.schedule(after: timeout) { [self] in close(.closedHere) }
        endWriting()
        if isEndSent, hasPeerEnded { return close(.closedHere) }
        resumeReading()
    }

    /// Sends the queue, then the end of this side, and goes on reading until the peer ends too;
    /// idempotent.
    package func endWriting() {
        guard isOpen, !isEnding else { return }
        isEnding = true
        if queue.isEmpty { sendEnd() }
    }

    /// Offers bytes to the kernel and returns how many it took.
    private func tryWrite(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard !bytes.isEmpty else { return 0 }
        // The pointer is for C, which only reads; a frame is far below 4 GiB.
        let start = UnsafeMutablePointer(
            mutating: bytes.baseAddress?.assumingMemoryBound(to: CChar.self))
        var buffer = uv_buf_init(start, UInt32(clamping: bytes.count))
        let sent = uv_try_write(handle.stream, &buffer, 1)
        if sent >= 0 { return Int(sent) }
        if sent != UV_EAGAIN.rawValue { fail(sent, "cannot write to \(peerAddress)") }
        return 0
    }

    /// Hands the front of the queue to libuv, unless a part is there already.
    private func startFlight() {
        guard flightBytes == 0, !queue.isEmpty else { return }
        let capacity = TransportLimits.writeChunksPerCall
        let status = withUnsafeTemporaryAllocation(of: uv_buf_t.self, capacity: capacity) { list in
            var used = 0
            queue.forEachPiece(max: capacity) { start, count in
                let base = start.assumingMemoryBound(to: CChar.self)
                list.initializeElement(at: used, to: uv_buf_init(base, UInt32(count)))
                used += 1
                flightBytes += count
            }
            return uv_write(
                writeRequest.pointer, handle.stream, list.baseAddress, UInt32(used)
            ) { request, status in
                Handle.owner(of: request?.pointee.handle, as: Stream.self)?.flightEnded(status)
            }
        }
        if status != 0 { fail(status, "cannot write to \(peerAddress)") }
    }

    private func flightEnded(_ status: Int32) {
        guard isOpen else { return }
        guard status == 0 else { return fail(status, "cannot write to \(peerAddress)") }
        queue.consume(flightBytes)
        flightBytes = 0
        startFlight()
        deliverCompletions()
        guard isOpen else { return }
        if isCongested, queue.count <= lowWaterBytes {
            isCongested = false
            onDrain?()
        }
        if isEnding, isOpen, queue.isEmpty { sendEnd() }
    }

    private func deliverCompletions() {
        // Taken out first: a completion may write again.
        let count = completions.prefix { $0.end <= writtenBytes }.count
        let ready = completions[..<count]
        completions.removeFirst(count)
        for completion in ready { completion.run(nil) }
    }

    private func sendEnd() {
        let status = uv_shutdown(shutdownRequest.pointer, handle.stream) { request, _ in
            // A failed shutdown means that the peer is gone, which reading or the timer tells.
            Handle.owner(of: request?.pointee.handle, as: Stream.self)?.endSent()
        }
        // The peer is gone already.
        if status != 0 { close(.closedHere) }
    }

    private func endSent() {
        guard isOpen else { return }
        isEndSent = true
        if hasPeerEnded { close(.closedHere) }
    }
}

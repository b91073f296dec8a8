// Streams over real sockets: bytes, back pressure, every way to end.

import TestKit
import Testing

@testable import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct StreamTests {
    @Test("50 MB go to an echo and back, with back pressure", arguments: ["127.0.0.1", "::1"])
    func echo(host: String) throws {
        guard host != "::1" || hasIPv6() else { return }
        let total = 50 << 20
        let block = pattern(1 << 18)
        try withLoop { loop in
            let start = loop.now
            let peak = Box(0)
            let received = Box(0)
            try loop.pair(host: host) { client, server in
                // The echo stops reading while its own queue is full.
                server.onRead = { bytes in
                    server.write([UInt8](copying: bytes))
                    peak.value = max(peak.value, server.queuedBytes)
                    if !server.isWritable { server.pauseReading() }
                }
                server.onDrain = { server.resumeReading() }
                server.resumeReading()

                let sent = Box(0)
                let send = {
                    while client.isWritable, sent.value < total {
                        client.write(block)
                        sent.value += block.count
                        peak.value = max(peak.value, client.queuedBytes)
                    }
                }
                client.onDrain = send
                client.onRead = { bytes in
                    let offset = received.value % block.count
                    let first = min(bytes.byteCount, block.count - offset)
                    let same = bytes.withUnsafeBytes { raw in
                        block.withUnsafeBytes { block in
                            guard let raw = raw.baseAddress, let block = block.baseAddress else {
                                return false
                            }
                            // A piece may end one round of the block and begin the next.
                            return memcmp(raw, block + offset, first) == 0
                                && memcmp(raw + first, block, bytes.byteCount - first) == 0
                        }
                    }
                    if !same { Issue.record("wrong bytes at \(received.value)") }
                    received.value += bytes.byteCount
                    if received.value == total { client.close() }
                }
                server.onClose = { reason in
                    #expect(reason == .closedByPeer)
                    loop.stop()
                }
                client.resumeReading()
                send()
            }
            loop.run()
            #expect(received.value == total)
            #expect(peak.value <= TransportLimits.highWaterBytes + (1 << 18))
            print("echo of 50 MB over \(host): \(loop.now - start) ms")
            loop.stop()
        }
    }

    @Test("a refused connect says so, later")
    func refused() throws {
        try withLoop { loop in
            // A port that was free a moment ago.
            let listener = try loop.listen(host: "127.0.0.1", port: 0) { _ in }
            let port = try #require(listener.address.port)
            listener.close()
            let inside = Box(true)
            loop.connect(host: "127.0.0.1", port: port, timeout: 30_000) { result in
                #expect(!inside.value)
                guard case .failure(let error) = result else {
                    Issue.record("it connected")
                    return loop.stop()
                }
                #expect(error.code == .refused)
                #expect(error.description.hasPrefix("cannot connect to 127.0.0.1:\(port): "))
                loop.stop()
            }
            inside.value = false
        }
    }

    @Test("bytes arrive in order, and completions after them, once each")
    func completions() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                let order = Box<[Int]>([])
                var expected: [UInt8] = []
                for index in 0..<400 {
                    // Small, empty and large ones, so that both ways of writing are used.
                    let bytes = pattern(index % 7 == 0 ? 0 : index * 50, from: index)
                    expected += bytes
                    client.write(bytes) { error in
                        #expect(error == nil)
                        order.value.append(index)
                    }
                    #expect(order.value.isEmpty)
                }
                let all = expected
                let received = Box<[UInt8]>([])
                server.onRead = { received.value.append($0) }
                server.onClose = { reason in
                    #expect(reason == .closedByPeer)
                    #expect(received.value == all)
                    #expect(order.value == Array(0..<400))
                    #expect(client.queuedBytes == 0)
                    #expect(client.writtenBytes == UInt64(all.count))
                    #expect(server.readBytes == UInt64(all.count))
                    loop.stop()
                }
                server.resumeReading()
                client.finish()
                #expect(!client.write([1]) { _ in Issue.record("it ran") })
            }
        }
    }

    @Test("close during a write fails what is queued, then reports the end, once and last")
    func closeDuringWrite() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                let events = Box<[String]>([])
                client.onRead = { _ in events.value.append("read") }
                client.onDrain = { events.value.append("drain") }
                client.onClose = { reason in
                    events.value.append("\(reason)")
                    #expect(!client.write([1]) { _ in events.value.append("late") })
                    client.close()
                    client.finish()
                    client.resumeReading()
                    client.pauseReading()
                    loop.schedule(after: 20) {
                        #expect(events.value == ["closed", "closed here"])
                        loop.stop()
                    }
                }
                client.resumeReading()
                server.write([1, 2, 3])
                // The server does not read, so most of this waits in the queue.
                client.write(pattern(32 << 20)) { error in
                    events.value.append(error?.code.rawValue ?? "done")
                }
                #expect(client.queuedBytes > 0)
                #expect(!client.isWritable)
                client.close()
                client.close()
                #expect(!client.isOpen)
                #expect(events.value.isEmpty)
            }
        }
    }

    @Test("half-open: after the peer's end this side can still write")
    func halfOpen() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                let asked = Box<[UInt8]>([])
                let answered = Box<[UInt8]>([])
                let ends = Box(0)
                server.onRead = { asked.value.append($0) }
                server.onEnd = {
                    ends.value += 1
                    #expect(asked.value == [1, 2, 3])
                    server.write(pattern(300_000))
                    server.finish()
                }
                let done = Countdown(2) {
                    #expect(ends.value == 1)
                    loop.stop()
                }
                server.onClose = { reason in
                    #expect(reason == .closedHere)
                    done.hit()
                }
                server.resumeReading()
                client.write([1, 2, 3])
                client.endWriting()
                #expect(!client.write([4]))
                client.onRead = { answered.value.append($0) }
                client.onClose = { reason in
                    #expect(reason == .closedByPeer)
                    #expect(answered.value == pattern(300_000))
                    done.hit()
                }
                client.resumeReading()
            }
        }
    }

    @Test("finish sends a large queue whole to a slow reader that itself keeps talking")
    func finish() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                let received = Box(0)
                // Unread bytes would reset the connection if the client closed at once.
                server.write(pattern(500_000))
                client.write(pattern(8 << 20))
                client.onRead = { _ in Issue.record("a finished stream delivers nothing") }
                client.finish(timeout: 30_000)
                client.finish()
                #expect(!client.isWritable)
                server.onRead = { bytes in received.value += bytes.byteCount }
                let done = Countdown(2) { loop.stop() }
                server.onClose = { reason in
                    #expect(reason == .closedByPeer)
                    #expect(received.value == 8 << 20)
                    done.hit()
                }
                client.onClose = { reason in
                    #expect(reason == .closedHere)
                    done.hit()
                }
                loop.schedule(after: 10) { server.resumeReading() }
            }
        }
    }

    @Test("finish gives up on a peer that does not read")
    func finishTimeout() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                client.write(pattern(16 << 20)) { error in #expect(error?.code == .closed) }
                client.onClose = { reason in
                    #expect(reason == .closedHere)
                    loop.stop()
                }
                client.finish(timeout: 30)
                _ = server
            }
        }
    }

    @Test("a peer that never reads ends in a full queue, not in all memory")
    func queueFull() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                client.writeQueueBytesMax = 4 << 20
                client.onClose = { reason in
                    #expect(reason == .failed(TransportError(.queueFull, "")))
                    #expect("\(reason)".contains("does not read"))
                    loop.stop()
                }
                let block = pattern(1 << 20)
                for _ in 0..<64 where client.isOpen { client.write(block) }
                #expect(!client.isOpen)
                _ = server
            }
        }
    }

    @Test("writing to a connection that the peer has reset is an error, not a signal")
    func reset() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                // Closing with unread bytes resets the connection.
                client.write([1, 2, 3])
                loop.schedule(after: 5) { server.close() }
                client.onClose = { reason in
                    #expect(reason == .failed(TransportError(.reset, "")))
                    loop.stop()
                }
                loop.schedule(after: 10, repeating: 5) { client.write(pattern(1000)) }
            }
        }
    }

    @Test("a paused stream delivers nothing, also when it pauses inside a read")
    func pause() throws {
        try withLoop { loop in
            try loop.pair { client, server in
                let received = Box(0)
                let paused = Box(false)
                server.onRead = { bytes in
                    #expect(!paused.value)
                    received.value += bytes.byteCount
                    server.pauseReading()
                    server.pauseReading()
                    paused.value = true
                    loop.schedule(after: 1) {
                        paused.value = false
                        server.resumeReading()
                        server.resumeReading()
                    }
                }
                server.onClose = { _ in
                    #expect(received.value == 1 << 20)
                    loop.stop()
                }
                server.resumeReading()
                client.write(pattern(1 << 20))
                client.finish()
            }
        }
    }

    @Test("500 connections open, say hello and close")
    func many() throws {
        let count = 500
        try withLoop { loop in
            let greeted = Box(0)
            let before = Box(0)
            let done = Countdown(2 * count) {
                loop.schedule(after: 0) {
                    #expect(greeted.value == count)
                    #expect(loop.handleCount <= before.value + 1)
                    loop.stop()
                }
            }
            let listener = try loop.listen(host: "127.0.0.1", port: 0) { stream in
                stream.onRead = { bytes in stream.write([UInt8](copying: bytes)) }
                stream.onClose = { _ in done.hit() }
                stream.resumeReading()
            }
            let port = try #require(listener.address.port)
            before.value = loop.handleCount
            let open = Box(0)
            func next() {
                guard open.value < count else { return }
                open.value += 1
                loop.connect(host: "127.0.0.1", port: port, timeout: 30_000) { result in
                    guard case .success(let stream) = result else {
                        Issue.record("\(result)")
                        return loop.stop()
                    }
                    stream.onRead = { _ in
                        greeted.value += 1
                        stream.close()
                        next()
                    }
                    stream.onClose = { _ in done.hit() }
                    stream.resumeReading()
                    stream.write([1])
                }
            }
            for _ in 0..<100 { next() }
        }
    }
}

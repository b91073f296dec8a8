// What the tests of the transport share: a loop with a deadline, plain threads, patterns of bytes.

import Testing

@testable import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Runs a loop that `body` has set up, until something stops it; the deadline is generous, for a
/// loaded machine. Afterwards no handle may be left.
func withLoop(
    deadline milliseconds: UInt64 = 60_000, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (EventLoop) throws -> Void
) throws {
    let loop = try EventLoop()
    loop.schedule(after: milliseconds) {
        Issue.record("the deadline of the test has passed", sourceLocation: sourceLocation)
        loop.stop()
    }
    do {
        try body(loop)
        loop.run()
    } catch {
        #expect(loop.close(), sourceLocation: sourceLocation)
        throw error
    }
    #expect(loop.close(), "handles are left", sourceLocation: sourceLocation)
    #expect(loop.handleCount == 0, sourceLocation: sourceLocation)
}

/// False, and said aloud, on a machine without IPv6.
func hasIPv6(_ test: String = #function) -> Bool {
    do {
        let loop = try EventLoop()
        defer { loop.close() }
        _ = try loop.listen(host: "::1", port: 0) { _ in }
        return true
    } catch {
        print("NOT TESTED: \(test) needs IPv6 on this machine: \(error)")
        return false
    }
}

/// A value that closures of one test change together.
final class Box<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
}

/// Runs `work` on a thread of its own.
func onThread(_ work: @escaping @Sendable () -> Void) -> pthread_t {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(work))
    let status = pthread_create(
        &thread, nil,
        { context in
            guard let context else { return nil }
            Unmanaged<Box<@Sendable () -> Void>>.fromOpaque(context).takeRetainedValue().value()
            return nil
        }, box.toOpaque())
    #expect(status == 0)
    return thread
}

/// Byte number `offset` of an endless pattern without a short period.
func patternByte(_ offset: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: offset &* 31 &+ (offset >> 8) &* 17 &+ (offset >> 16) &* 7)
}

func pattern(_ count: Int, from offset: Int = 0) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
        for index in 0..<count {
            buffer.initializeElement(at: index, to: patternByte(offset &+ index))
        }
        used = count
    }
}

extension Array where Element == UInt8 {
    mutating func append(_ span: RawSpan) {
        span.withUnsafeBytes { append(contentsOf: $0) }
    }
}

extension EventLoop {
    /// A connected pair of streams over TCP on `host`; the listener is closed again.
    func pair(
        host: String = "127.0.0.1", _ body: @escaping (_ client: Stream, _ server: Stream) -> Void
    ) throws {
        let client = Box<Stream?>(nil)
        let server = Box<Stream?>(nil)
        func join() {
            if let client = client.value, let server = server.value { body(client, server) }
        }
        let listener = Box<Listener?>(nil)
        listener.value = try listen(host: host, port: 0) { stream in
            server.value = stream
            listener.value?.close()
            join()
        }
        connect(host: host, port: listener.value?.address.port ?? 0, timeout: 30_000) { result in
            switch result {
            case .success(let stream):
                client.value = stream
                join()
            case .failure(let error):
                Issue.record(error)
                self.stop()
            }
        }
    }
}

/// Calls `work` when it has been hit as often as announced.
final class Countdown {
    private var left: Int
    private let work: () -> Void

    init(_ count: Int, _ work: @escaping () -> Void) {
        left = count
        self.work = work
    }

    func hit() {
        left -= 1
        if left == 0 { work() }
    }
}

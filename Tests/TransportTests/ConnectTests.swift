// Opening connections: names, scopes, both families, and each error with its remedy.

import Testing

@testable import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct ConnectTests {
    /// Connects, expects a failure and returns it.
    private func failure(host: String, port: UInt16 = 9, timeout: UInt64) throws -> TransportError?
    {
        let found = Box<TransportError?>(nil)
        try withLoop { loop in
            loop.connect(host: host, port: port, timeout: timeout) { result in
                if case .failure(let error) = result { found.value = error }
                loop.stop()
            }
        }
        return found.value
    }

    @Test("a timeout of nothing times out before anything can answer")
    func zeroTimeout() throws {
        try withLoop { loop in
            let listener = try loop.listen(host: "127.0.0.1", port: 0) { _ in }
            let port = try #require(listener.address.port)
            loop.connect(host: "127.0.0.1", port: port, timeout: 0) { result in
                guard case .failure(let error) = result else {
                    Issue.record("it connected")
                    return loop.stop()
                }
                #expect(error.code == .timedOut)
                loop.stop()
            }
        }
    }

    @Test("a connect that nobody answers times out in time")
    func silent() throws {
        // A listener that never accepts, with the shortest queue: the kernel drops what exceeds it.
        let loopback = try #require(RawAddress(host: "127.0.0.1", port: 0))
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try #require(loopback.withPointer { bind(descriptor, $0, length) } == 0)
        try #require(listen(descriptor, 0) == 0)
        defer { close(descriptor) }
        let actual = RawAddress { pointer, size in
            var length = socklen_t(size.pointee)
            return getsockname(descriptor, pointer, &length)
        }
        let port = try #require(actual?.endpoint.port)
        try withLoop { loop in
            let start = loop.now
            let timeouts = Box(0)
            let done = Countdown(8) {
                #expect(timeouts.value >= 1)
                loop.stop()
            }
            for _ in 0..<8 {
                loop.connect(host: "127.0.0.1", port: port, timeout: 200) { result in
                    if case .failure(let error) = result {
                        #expect(error.code == .timedOut)
                        #expect(loop.now >= start + 200)
                        timeouts.value += 1
                    }
                    done.hit()
                }
            }
        }
    }

    @Test("a cancelled connect never completes")
    func cancel() throws {
        try withLoop { loop in
            for host in ["127.0.0.1", "localhost"] {
                let connecting = loop.connect(host: host, port: 9, timeout: 10_000) { _ in
                    Issue.record("it completed")
                }
                connecting.cancel()
                connecting.cancel()
            }
            loop.schedule(after: 50) { loop.stop() }
        }
    }

    @Test("a host name is looked up, and each of its addresses tried")
    func name() throws {
        try withLoop { loop in
            let listener = try loop.listen(host: "localhost", port: 0) { _ in }
            let port = try #require(listener.address.port)
            loop.connect(host: "localhost", port: port, timeout: 30_000) { result in
                guard case .success(let stream) = result else {
                    Issue.record("\(result)")
                    return loop.stop()
                }
                #expect(stream.peerAddress == listener.address)
                loop.stop()
            }
        }
    }

    @Test("an unknown host is an error that names it")
    func unknownHost() throws {
        let error = try failure(host: "no such host.invalid", timeout: 30_000)
        #expect(error?.code == .unknownHost)
        #expect(error?.description.contains("no such host.invalid") == true)
        #expect(try failure(host: "fe80::1%nosuch0", timeout: 30_000)?.code == .unknownHost)
    }

    @Test("a dual-stack listener takes both families and shows IPv4 as IPv4")
    func dualStack() throws {
        guard hasIPv6() else { return }
        try withLoop { loop in
            let peers = Box<[String]>([])
            let done = Countdown(2) {
                #expect(peers.value.sorted() == ["127.0.0.1", "::1"])
                loop.stop()
            }
            let listener = try loop.listen(host: "::", port: 0) { stream in
                if case .tcp(let host, _) = stream.peerAddress { peers.value.append(host) }
                #expect(stream.localAddress.port != nil)
                done.hit()
            }
            let port = try #require(listener.address.port)
            #expect(port != 0)
            for host in ["127.0.0.1", "::1"] {
                loop.connect(host: host, port: port, timeout: 30_000) { result in
                    guard case .success(let stream) = result else {
                        Issue.record("\(result)")
                        return loop.stop()
                    }
                    #expect(stream.peerAddress == .tcp(host: host, port: port))
                }
            }
        }
    }

    @Test("what cannot be listened on says what to do")
    func listenErrors() throws {
        try withLoop { loop in
            let first = try loop.listen(host: "127.0.0.1", port: 0) { _ in }
            let port = try #require(first.address.port)
            func failure(_ host: String, _ port: UInt16) -> TransportError? {
                do {
                    _ = try loop.listen(host: host, port: port) { _ in }
                    return nil
                } catch {
                    return error as? TransportError
                }
            }
            let inUse = failure("127.0.0.1", port)
            #expect(inUse?.code == .addressInUse)
            #expect(inUse?.description.contains("choose another port") == true)
            #expect(inUse?.description.contains("127.0.0.1:\(port)") == true)
            #expect(inUse?.debugDescription.contains("EADDRINUSE") == true)
            #expect(failure("203.0.113.7", 0)?.code == .addressNotAvailable)
            #expect(failure("no such host.invalid", 0)?.code == .unknownHost)
            loop.stop()
        }
    }

    @Test("a closed listener frees its port, and accepted streams live on")
    func closedListener() throws {
        try withLoop { loop in
            let listener = Box<Listener?>(nil)
            listener.value = try loop.listen(host: "127.0.0.1", port: 0) { stream in
                listener.value?.close()
                listener.value?.close()
                stream.write([7])
            }
            let port = listener.value?.address.port ?? 0
            loop.connect(host: "127.0.0.1", port: port, timeout: 30_000) { result in
                guard case .success(let stream) = result else {
                    Issue.record("\(result)")
                    return loop.stop()
                }
                stream.onRead = { bytes in
                    #expect(bytes.byteCount == 1)
                    do {
                        _ = try loop.listen(host: "127.0.0.1", port: port) { _ in }
                    } catch {
                        Issue.record(error)
                    }
                    loop.stop()
                }
                stream.resumeReading()
            }
        }
    }
}

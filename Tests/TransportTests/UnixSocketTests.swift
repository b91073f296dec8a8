// The control socket: private, replaces a dead one, respects a live one.

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

struct UnixSocketTests {
    @Test("an exchange over a socket file that only the user can open")
    func exchange() throws {
        let folder = TemporaryDirectory()
        let path = folder.file("control.socket")
        try withLoop { loop in
            let listener = try loop.listen(unixPath: path) { stream in
                #expect(stream.localAddress == .unix(path: path))
                stream.onRead = { bytes in stream.write([UInt8](copying: bytes)) }
                stream.resumeReading()
            }
            #expect(listener.address == .unix(path: path))
            var info = stat()
            #expect(stat(path, &info) == 0)
            #expect(info.st_mode & 0o777 == 0o600)
            loop.connect(to: .unix(path: path), timeout: 30_000) { result in
                guard case .success(let stream) = result else {
                    Issue.record("\(result)")
                    return loop.stop()
                }
                #expect(stream.peerAddress == .unix(path: path))
                let received = Box<[UInt8]>([])
                stream.onRead = { bytes in
                    received.value.append(bytes)
                    guard received.value.count == 200_000 else { return }
                    #expect(received.value == pattern(200_000))
                    loop.stop()
                }
                stream.resumeReading()
                stream.write(pattern(200_000))
            }
        }
        #expect(access(path, F_OK) != 0, "closing removes the file")
    }

    @Test("a stale socket file is replaced")
    func stale() throws {
        let folder = TemporaryDirectory()
        let path = folder.file("s")
        // A name beside the socket survives the close of its listener.
        try withLoop { loop in
            _ = try loop.listen(unixPath: folder.file("other")) { _ in }
            #expect(link(folder.file("other"), path) == 0)
            loop.stop()
        }
        #expect(access(path, F_OK) == 0)
        try withLoop { loop in
            let listener = try loop.listen(unixPath: path) { _ in loop.stop() }
            #expect(listener.address == .unix(path: path))
            loop.connect(to: .unix(path: path), timeout: 30_000) { result in
                if case .failure(let error) = result { Issue.record(error) }
            }
        }
    }

    @Test("a live socket is an error, and lives on")
    func live() throws {
        let folder = TemporaryDirectory()
        let path = folder.file("s")
        try withLoop { loop in
            let accepted = Box(0)
            _ = try loop.listen(unixPath: path) { stream in
                accepted.value += 1
                // The probe of the second listener, then the connect below.
                if accepted.value == 2 { loop.stop() }
            }
            let error = #expect(throws: TransportError.self) {
                try loop.listen(unixPath: path) { _ in }
            }
            #expect(error?.code == .addressInUse)
            #expect(error?.description.contains("stop it first") == true)
            loop.connect(to: .unix(path: path), timeout: 30_000) { result in
                if case .failure(let error) = result { Issue.record(error) }
            }
        }
    }

    @Test("a plain file is not touched, long and missing paths are errors")
    func errors() throws {
        let folder = TemporaryDirectory()
        let plain = folder.file("plain")
        close(open(plain, O_CREAT | O_WRONLY, 0o600))
        try withLoop { loop in
            func code(_ path: String) -> TransportError.Code? {
                do {
                    _ = try loop.listen(unixPath: path) { _ in }
                    return nil
                } catch {
                    return (error as? TransportError)?.code
                }
            }
            #expect(code(plain) == .addressInUse)
            #expect(access(plain, F_OK) == 0)
            #expect(code(folder.file(String(repeating: "x", count: 120))) == .invalidAddress)
            #expect(code(folder.file("missing/s")) == .notFound)
            #expect(code("") == .invalidAddress)

            let found = Box<[TransportError.Code]>([])
            let long = folder.file(String(repeating: "y", count: 120))
            let done = Countdown(2) {
                #expect(Set(found.value) == [.notFound, .invalidAddress])
                loop.stop()
            }
            for path in [folder.file("nobody"), long] {
                loop.connect(to: .unix(path: path), timeout: 30_000) { result in
                    if case .failure(let error) = result { found.value.append(error.code) }
                    done.hit()
                }
            }
        }
    }
}

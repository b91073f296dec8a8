// A small server on a home's control socket, for the client and the command line to talk to.

import Dispatch
import Node
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Serves one connection after the other on a thread of its own until `stop`.
final class ControlTestServer: Sendable {
    /// What follows one request: bytes to send, one after the other, and then the next request
    /// or the end.
    struct Answer: Sendable {
        var chunks: [[UInt8]]
        var closes = false

        static func replies(_ replies: [ControlReply]) -> Answer {
            Answer(chunks: replies.map(\.line))
        }
    }

    private let isStopped = Mutex(false)
    private let done = DispatchSemaphore(value: 0)

    init(
        home: Home, answer: @escaping @Sendable (ControlRequest) -> Answer
    ) throws {
        let listener = try ControlSocket.listen(at: home.socketPath).release()
        DispatchQueue(label: "control-test-server").async { [self] in
            while let connection = accept(listener) { serve(connection, answer) }
            _ = close(listener)
            done.signal()
        }
    }

    /// Ends the thread; the socket stays behind as a stale one.
    func stop() {
        isStopped.withLock { $0 = true }
        done.wait()
    }

    private func accept(_ listener: Int32) -> Int32? {
        while wait(listener) {
            let connection = Glibc.accept(listener, nil, nil)
            if connection >= 0 { return connection }
        }
        return nil
    }

    /// Waits until there is something to read; false when the server stops.
    private func wait(_ descriptor: Int32) -> Bool {
        while !isStopped.withLock({ $0 }) {
            var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&state, 1, 10) > 0 { return true }
        }
        return false
    }

    private func serve(_ connection: Int32, _ answer: (ControlRequest) -> Answer) {
        defer { _ = close(connection) }
        var lines = ControlLines(lineBytesMax: ControlLimits.requestBytesMax)
        var chunk = [UInt8](repeating: 0, count: 4096)
        while wait(connection) {
            let count = read(connection, &chunk, chunk.count)
            guard count > 0 else { return }
            lines.append(chunk[..<count])
            while let line = try? lines.next(), let request = try? ControlRequest(line: line) {
                let answer = answer(request)
                for bytes in answer.chunks {
                    _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                }
                if answer.closes { return }
            }
        }
    }
}

// The asking end of the control socket: one request, its events, its answer. It blocks the thread
// that calls it, which is what a command line wants and nothing else does.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One connection to a running node.
///
/// A path longer than the system's limit of 108 bytes is reached through `/proc/self/fd`.
/// Not for use from two threads, and not for use inside a node.
package final class ControlClient {
    private let socket: FileDescriptor
    private var lines = ControlLines(lineBytesMax: ControlLimits.replyBytesMax)

    /// Connects to the node of `home`.
    ///
    /// - Throws: `notRunning` when nobody listens there, `failed` when the socket is not
    ///   accessible, `timeout` when the node takes no connection.
    package init(home: Home, timeoutMilliseconds: Int = 5000) throws(NodeError) {
        do {
            socket = try ControlSocket.connect(
                to: home.socketPath, timeoutMilliseconds: timeoutMilliseconds)
        } catch {
            switch error.number {
            case ENOENT, ECONNREFUSED, ENOTDIR:
                throw NodeError(
                    .notRunning, "the node is not running: start it with `starling run`",
                    cause: error)
            case ETIMEDOUT:
                throw NodeError(
                    .timeout,
                    "the node is running but takes no connection: look at its log, or restart it",
                    cause: error)
            default:
                throw NodeError(
                    .failed, error.explain("cannot reach the node at \(home.socketPath)"),
                    cause: error)
            }
        }
    }

    /// Asks and waits for the answer.
    ///
    /// - Parameters:
    ///   - silenceMilliseconds: how long nothing may come before it is given up; nil waits for
    ///     ever.
    ///   - input: lines of a person, handed on while the answer is awaited.
    ///   - onEvent: called for each event, in order.
    /// - Returns: the result.
    /// - Throws: the node's `ControlError`; `timeout`; `not_running` when the node goes away
    ///   before it has answered; `bad_message` when it does not keep to the protocol.
    package func call(
        _ request: ControlRequest, silenceMilliseconds: Int? = 30_000, input: InputLines? = nil,
        onEvent: (JSONValue) throws -> Void = { _ in }
    ) throws -> JSONValue {
        do { try send(request.line, silenceMilliseconds) } catch {
            throw gone(error)
        }
        while true {
            while let line = try lines.next() {
                switch try ControlReply(line: line) {
                case .event(let event): try onEvent(event)
                case .result(let result): return result
                case .error(let error): throw error
                }
            }
            let bytes: [UInt8]
            do {
                if let input, try waitForEither(input) { continue }
                bytes = try receive(silenceMilliseconds)
            } catch {
                throw gone(error)
            }
            guard !bytes.isEmpty else { throw gone(nil) }
            lines.append(bytes)
        }
    }

    private func gone(_ error: SystemError?) -> ControlError {
        if error?.number == ETIMEDOUT {
            return ControlError(
                .timeout, "the node does not answer: look at its log, or restart it")
        }
        return ControlError(
            .notRunning, "the node stopped before it answered: start it with `starling run`")
    }

    private func send(_ bytes: [UInt8], _ silence: Int?) throws(SystemError) {
        #if os(Linux)
        // A node that went away must be an error and not a SIGPIPE.
        let flags = Int32(MSG_NOSIGNAL)
        #else
        let flags: Int32 = 0
        #endif
        let number = socket.number
        var rest = bytes[...]
        while !rest.isEmpty {
            try wait(for: Int16(POLLOUT), silence)
            do throws(SystemError) {
                let count = try systemCall {
                    rest.withUnsafeBytes { Self.put(number, $0, flags) }
                }
                rest = rest.dropFirst(count)
            } catch {
                guard error.number == EAGAIN else { throw error }
            }
        }
    }

    private func receive(_ silence: Int?) throws(SystemError) -> [UInt8] {
        let number = socket.number
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            try wait(for: Int16(POLLIN), silence)
            do throws(SystemError) {
                let count = try systemCall {
                    chunk.withUnsafeMutableBytes { read(number, $0.baseAddress, $0.count) }
                }
                return Array(chunk[..<count])
            } catch {
                guard error.number == EAGAIN else { throw error }
            }
        }
    }

    private static func put(
        _ number: Int32, _ bytes: UnsafeRawBufferPointer, _ flags: Int32
    ) -> Int {
        #if canImport(Glibc)
        Glibc.send(number, bytes.baseAddress, bytes.count, flags)
        #elseif canImport(Musl)
        Musl.send(number, bytes.baseAddress, bytes.count, flags)
        #else
        Darwin.send(number, bytes.baseAddress, bytes.count, flags)
        #endif
    }

    /// Waits until the node or the person says something; true when it was the person alone.
    private func waitForEither(_ input: InputLines) throws(SystemError) -> Bool {
        guard input.isOpen else { return false }
        var states = [
            pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0),
            pollfd(fd: input.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&states, 2, -1) < 0 {
            let number = starling_errno()
            guard number == EINTR else { throw SystemError(number: number) }
        }
        // What the node says comes first: an answer is one to what is on the screen.
        guard states[0].revents == 0 else { return false }
        input.read()
        return true
    }

    private func wait(for events: Int16, _ silence: Int?) throws(SystemError) {
        var state = pollfd(fd: socket.number, events: events, revents: 0)
        let deadline = silence.map { MonotonicClock.milliseconds() + Int64($0) }
        while true {
            let left = deadline.map { max(0, $0 - MonotonicClock.milliseconds()) }
            let timeout = left.map { Int32(clamping: $0) } ?? -1
            let ready = poll(&state, 1, timeout)
            if ready > 0 { return }
            if ready == 0 { throw SystemError(number: ETIMEDOUT) }
            let number = starling_errno()
            guard number == EINTR else { throw SystemError(number: number) }
        }
    }
}

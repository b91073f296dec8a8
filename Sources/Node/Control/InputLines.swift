// Lines that a person types while a command waits for a node.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A descriptor, mostly standard input, cut into lines.
package final class InputLines {
    private static let lineBytesMax = 4096

    let descriptor: Int32
    /// False once nothing can come any more.
    private(set) var isOpen = true
    private let onLine: (String) -> Void
    private var lines = ControlLines(lineBytesMax: lineBytesMax)

    package init(descriptor: Int32, onLine: @escaping (String) -> Void) {
        self.descriptor = descriptor
        self.onLine = onLine
    }

    /// Drops what was typed until now: it is no answer to a question that comes.
    package func discard() {
        guard isOpen else { return }
        _ = tcflush(descriptor, TCIFLUSH)
        var bytes = [UInt8](repeating: 0, count: Self.lineBytesMax)
        var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&state, 1, 0) == 1, state.revents & Int16(POLLIN) != 0 {
            guard readSome(descriptor, &bytes, bytes.count) > 0 else { break }
        }
        lines = ControlLines(lineBytesMax: Self.lineBytesMax)
    }

    /// Takes what is there, and waits when there is nothing.
    func read() {
        var bytes = [UInt8](repeating: 0, count: Self.lineBytesMax)
        do throws(SystemError) {
            let number = descriptor
            let count = try systemCall {
                bytes.withUnsafeMutableBytes { readSome(number, $0.baseAddress, $0.count) }
            }
            guard count > 0 else { return isOpen = false }
            lines.append(bytes.prefix(count))
        } catch {
            isOpen = error.number == EAGAIN
            return
        }
        do throws(ControlError) {
            while let line = try lines.next() { onLine(String(decoding: line, as: UTF8.self)) }
        } catch { isOpen = false }
    }
}

/// `read(2)`, out of reach of the method of the same name.
private func readSome(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, bytes, count)
}

// Where text goes: buffered, and quiet when the reader has gone away (`starling records t | head`).

import CPlatform
import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Standard output or standard error, or a test's list of bytes.
final class Output {
    /// Whether a person looks at it.
    let isTerminal: Bool
    /// Whether colours are wanted.
    let colours: Bool
    /// Characters in a line.
    let width: Int
    /// Takes bytes; false when the reader has gone.
    private let sink: ([UInt8]) -> Bool
    private var buffer: [UInt8] = []
    /// Nobody reads any more.
    private(set) var isBroken = false

    private static let bufferBytesMax = 1 << 16

    init(
        isTerminal: Bool, colours: Bool, width: Int, sink: @escaping ([UInt8]) -> Bool
    ) {
        self.isTerminal = isTerminal
        self.colours = colours
        self.width = width
        self.sink = sink
    }

    /// An open file of this process. `NO_COLOR` (<https://no-color.org>) and `TERM=dumb` turn
    /// colours off.
    convenience init(descriptor: Int32, environment: (String) -> String?) {
        let isTerminal = isatty(descriptor) == 1
        let noColour = environment("NO_COLOR")?.isEmpty == false
        self.init(
            isTerminal: isTerminal,
            colours: isTerminal && !noColour && environment("TERM") != "dumb",
            width: Self.width(of: descriptor)
        ) { Self.write($0, to: descriptor) }
    }

    /// Adds a line.
    func print(_ line: String) {
        write(line)
        write("\n")
    }

    func write(_ text: String) {
        guard !isBroken else { return }
        buffer.append(contentsOf: text.utf8)
        if buffer.count >= Self.bufferBytesMax { flush() }
    }

    func flush() {
        guard !buffer.isEmpty else { return }
        if !isBroken, !sink(buffer) { isBroken = true }
        buffer.removeAll(keepingCapacity: true)
    }

    private static func width(of descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 40 else { return 80 }
        return min(Int(size.ws_col), 120)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            do throws(SystemError) {
                let count = try systemCall {
                    rest.withUnsafeBytes { put(descriptor, $0.baseAddress, $0.count) }
                }
                rest = rest.dropFirst(count)
            } catch {
                guard error.number == EAGAIN else { return false }
                var state = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&state, 1, -1)
            }
        }
        return true
    }
}

/// `write(2)`, out of reach of the methods of the same name.
private func put(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

// Calls of the operating system: errno is read at once, interrupted calls are repeated, and a
// descriptor is closed exactly once.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What a failed call said.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    package var number: Int32

    package init(number: Int32) { self.number = number }

    /// The system's own words, such as "No space left on device".
    package var description: String {
        guard let text = strerror(number) else { return "error \(number)" }
        return String(cString: text)
    }

    /// What a person can do about it; nil when the words say it all.
    package var remedy: String? {
        switch number {
        case EACCES, EPERM: "check the owner and the permissions"
        case ENOSPC, EDQUOT: "free some space on that disk"
        case EROFS: "that file system is read-only; choose another place"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: nil
        }
    }

    /// `words` with the reason and the remedy behind them.
    package func explain(_ words: String) -> String {
        "\(words): \(description)\(remedy.map { "; \($0)" } ?? "")"
    }
}

/// Repeats `call` while a signal interrupts it; a result of -1 becomes an error.
@discardableResult
package func systemCall<Result: SignedInteger>(
    _ call: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = call()
        guard result == -1 else { return result }
        let number = starling_errno()
        guard number == EINTR else { throw SystemError(number: number) }
    }
}

/// An open file or socket that one owner closes.
package struct FileDescriptor: ~Copyable {
    package let number: Int32

    package init(number: Int32) { self.number = number }

    /// Opens `path`; a new file is its owner's only, and other programs inherit nothing.
    package init(opening path: String, _ flags: Int32) throws(SystemError) {
        number = try systemCall { open(path, flags | O_CLOEXEC, 0o600) }
    }

    /// Gives the descriptor to another owner.
    package consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    /// Writes all of `bytes`.
    package borrowing func writeAll(_ bytes: [UInt8]) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let number = number
            let written = try systemCall {
                rest.withUnsafeBytes { write(number, $0.baseAddress, $0.count) }
            }
            rest = rest.dropFirst(written)
        }
    }

    /// Reads to the end, at most `bytesMax`.
    package borrowing func readAll(bytesMax: Int) throws(SystemError) -> [UInt8] {
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while content.count < bytesMax {
            let number = number
            let count = try systemCall {
                chunk.withUnsafeMutableBytes { read(number, $0.baseAddress, $0.count) }
            }
            if count == 0 { break }
            content.append(contentsOf: chunk[..<count])
        }
        return Array(content.prefix(bytesMax))
    }

    deinit { _ = close(number) }
}

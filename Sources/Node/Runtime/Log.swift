// The log: one line an event, to standard error, with the time and the level.

internal import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Writes lines to standard error; each is one call of `write`.
package struct Log: Sendable {
    let level: Configuration.LogLevel

    package init(level: Configuration.LogLevel) { self.level = level }

    func debug(_ message: String) { line(.debug, message) }
    package func info(_ message: String) { line(.info, message) }
    package func warning(_ message: String) { line(.warning, message) }
    package func error(_ message: String) { line(.error, message) }

    /// Names and reasons come from other machines: none of them begins a line or steers a terminal.
    static func onOneLine(_ message: String) -> String {
        var line = ""
        for scalar in message.unicodeScalars {
            switch scalar.value {
            case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069, 0x200e, 0x200f:
                line.unicodeScalars.append(" ")
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    private func line(_ kind: Configuration.LogLevel, _ message: String) {
        let levels = Configuration.LogLevel.allCases
        guard let wanted = levels.firstIndex(of: level), let own = levels.firstIndex(of: kind),
            own >= wanted
        else { return }
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        _ = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        let stamp = String(
            decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let bytes = Array("\(stamp) \(kind.rawValue) \(Self.onOneLine(message))\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}

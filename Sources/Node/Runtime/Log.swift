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
struct Log {
    let level: Configuration.LogLevel

    func debug(_ message: String) { line(.debug, message) }
    func info(_ message: String) { line(.info, message) }
    func warning(_ message: String) { line(.warning, message) }
    func error(_ message: String) { line(.error, message) }

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
        let bytes = Array("\(stamp) \(kind.rawValue) \(message)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}

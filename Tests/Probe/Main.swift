// A process that does nothing but discovery, for tests that need one per machine of the bed. It
// prints one JSON line per event and takes wishes as lines on stdin.

import CPlatform
import Discovery

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

private let usage = """
    usage: starling-probe [--name NAME] [--port PORT] [--txt KEY=VALUE]... [--type TYPE]
                          [--seconds SECONDS]
    Announces NAME (without it: only looks) and prints a JSON line per event. Lines on stdin:
    resolve NAME, unreached [NAME]..., refresh, blocked, stop. Ends at `stop`, after SECONDS, or,
    without SECONDS, at the end of stdin.
    """

@main
struct Probe {
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        do {
            let options = try Options(CommandLine.arguments.dropFirst())
            let service = DiscoveryService(type: options.type, announcement: options.announcement) {
                Output.print($0)
            }
            Output.line("start", [("pid", "\(getpid())")])
            try service.start()
            Wishes(service, untilMs: options.seconds.map { Output.now() + $0 * 1000 }).run()
            let before = Output.now()
            let isFinished = service.stop()
            Output.line(
                "stop", [("finished", "\(isFinished)"), ("tookMs", "\(Output.now() - before)")])
        } catch {
            fputs("\(error)\n\(usage)\n", starling_stderr())
            exit(2)
        }
    }
}

private struct UsageError: Error, CustomStringConvertible {
    var description: String
}

private struct Options {
    var type = "_starling._tcp"
    var announcement: ServiceAnnouncement?
    var seconds: Int64?

    init(_ arguments: some Sequence<String>) throws {
        var name: String?
        var port: UInt16 = 4711
        var txt: [String: String] = [:]
        var rest = arguments.makeIterator()
        while let option = rest.next() {
            guard let value = rest.next() else {
                throw UsageError(description: "\(option) needs a value")
            }
            switch option {
            case "--name": name = value
            case "--type": type = value
            case "--port": port = try Self.number(option, value)
            case "--seconds": seconds = try Self.number(option, value)
            case "--txt":
                let parts = value.split(separator: "=", maxSplits: 1).map(String.init)
                txt[parts.first ?? ""] = parts.count == 2 ? parts[1] : ""
            default: throw UsageError(description: "unknown option \(option)")
            }
        }
        announcement = try name.map {
            try ServiceAnnouncement(instanceName: $0, port: port, txt: txt)
        }
    }

    private static func number<N: FixedWidthInteger>(_ option: String, _ value: String) throws -> N
    {
        guard let number = N(value) else {
            throw UsageError(description: "\(option) needs a number, not '\(value)'")
        }
        return number
    }
}

/// Reads wishes from stdin until it is told to stop.
private struct Wishes {
    private let service: DiscoveryService
    private let untilMs: Int64?

    init(_ service: DiscoveryService, untilMs: Int64?) {
        self.service = service
        self.untilMs = untilMs
    }

    func run() {
        var pending: [UInt8] = []
        var isOpen = true
        while true {
            let left = untilMs.map { max(0, $0 - Output.now()) }
            if left == 0 { return }
            var entry = pollfd(fd: isOpen ? 0 : -1, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, left.map { Int32(clamping: $0) } ?? -1) > 0 else { continue }
            var buffer = [UInt8](repeating: 0, count: 1024)
            let count = read(0, &buffer, buffer.count)
            if count <= 0 {
                if untilMs == nil { return }
                isOpen = false
                continue
            }
            pending += buffer.prefix(count)
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<end], as: UTF8.self)
                pending.removeFirst(end + 1)
                if !obey(line.split(separator: " ").map(String.init)) { return }
            }
        }
    }

    private func obey(_ words: [String]) -> Bool {
        switch words.first {
        case "resolve": words.dropFirst().forEach(service.resolve)
        case "unreached": service.setUnreached(Array(words.dropFirst()))
        case "refresh": service.refresh()
        case "blocked": Output.line("blocked", [("forMs", "\(service.blockedMs)")])
        case "stop": return false
        default: fputs("unknown wish\n", starling_stderr())
        }
        return true
    }
}

/// One write(2) per line: no buffer that a kill -9 could lose, and no line within a line.
private enum Output {
    private static let startedAt = monotonic()

    static func print(_ event: DiscoveryEvent) {
        switch event {
        case .appeared(let peer):
            let txt = peer.txt.sorted { $0.key < $1.key }
                .map { "\(quoted($0.key)):\(quoted($0.value))" }
            line(
                "appeared",
                [
                    ("name", quoted(peer.instanceName)), ("port", "\(peer.port)"),
                    ("addresses", "[\(peer.addresses.map(quoted).joined(separator: ","))]"),
                    ("txt", "{\(txt.joined(separator: ","))}"),
                    ("interfaces", "[\(peer.interfaces.map(String.init).joined(separator: ","))]"),
                ])
        case .disappeared(let name): line("disappeared", [("name", quoted(name))])
        case .stateChanged(let state): line("state", words(of: state))
        }
    }

    static func line(_ event: String, _ fields: [(String, String)]) {
        let all = [("event", quoted(event)), ("ms", "\(now())")] + fields
        let text = "{\(all.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ","))}\n"
        let bytes = Array(text.utf8)
        _ = write(1, bytes, bytes.count)
    }

    /// Milliseconds since the first line.
    static func now() -> Int64 { monotonic() - startedAt }

    private static func monotonic() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    private static func words(of state: DiscoveryState) -> [(String, String)] {
        switch state {
        case .starting: [("state", quoted("starting"))]
        case .running: [("state", quoted("running"))]
        case .conflict(let reason):
            [("state", quoted("conflict")), ("reason", quoted(reason))]
        case .unavailable(let reason):
            [("state", quoted("unavailable")), ("reason", quoted(reason))]
        case .stopped: [("state", quoted("stopped"))]
        }
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": out += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

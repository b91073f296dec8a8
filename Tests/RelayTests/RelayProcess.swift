// A relay as a process of its own, and the load that is put on relays while they die.

import CPlatform
import Relay
import RelayProtocol
import Synchronization
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A running `starling relay serve`.
final class RelayProcess {
    /// Built by the package as an executable, beside the test bundle.
    static let program: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        #if os(Linux)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(
            decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // `swift test` runs the bundle itself, or a helper of the toolchain on it.
        if let slash = path.lastIndex(of: "/") {
            let beside = "\(path[..<slash])/starling"
            if access(beside, X_OK) == 0 { return beside }
        }
        #endif
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/") + "/.build/debug/starling"
    }()

    let process: TestProcess
    let port: UInt16
    private let folder: TemporaryDirectory

    /// Starts one and waits until it serves.
    ///
    /// - Parameter prefix: words before the program's.
    init(
        _ storage: RelayConfiguration.Storage, port: UInt16 = 0, prefix: [String] = [],
        _ more: [String] = ["--open"]
    ) throws {
        let place =
            switch storage {
            case .file(let path): ["--store", path]
            case .postgreSQL(let url): ["--postgres", url]
            }
        let folder = TemporaryDirectory()
        self.folder = folder
        let settings = folder.file("relay.json5")
        guard let file = fopen(settings, "w") else { throw ClientError(description: "no settings") }
        fputs("{quota: {requests_per_second: 100000, burst: 100000}}", file)
        fclose(file)
        let process = try TestProcess(
            prefix + [Self.program, "relay", "serve", "--listen", "127.0.0.1:\(port)"]
                + ["--config", settings] + place + more)
        self.process = process
        var found: UInt16?
        let serves = eventually {
            let line = process.output.split(separator: "\n").first { $0.contains("serving") }
            found = line?.split(separator: ":").last.flatMap { UInt16($0) }
            return found != nil || !process.isRunning
        }
        guard serves, let found else {
            throw ClientError(description: "the relay does not serve: \(process.output)")
        }
        self.port = found
    }

    func client() throws -> RelayClient { try RelayClient(port: port) }
}

/// Members that append to a group through whatever happens, and remember what was acknowledged.
final class Load: Sendable {
    private struct State {
        var isOver = false
        var acknowledged: Set<LogEntry> = []
        var running = 0
        var problems: [String] = []
        var failures = 0
        var ports: [UInt16]
    }

    private let state: Mutex<State>
    private let group: TestGroup

    /// - Parameter ports: of the relays that each member tries in turn.
    init(_ group: TestGroup, ports: [UInt16], members: Int = 4) {
        self.group = group
        state = Mutex(State(ports: ports))
        for member in 0..<members {
            state.withLock { $0.running += 1 }
            TestThread.start { [self] in
                append(member)
                state.withLock { $0.running -= 1 }
            }
        }
    }

    var acknowledgedCount: Int { state.withLock { $0.acknowledged.count } }
    /// Requests that found no relay, or no store.
    var failureCount: Int { state.withLock { $0.failures } }

    func waitForAcknowledged(more count: Int) -> Bool {
        let start = acknowledgedCount
        return eventually { acknowledgedCount >= start + count }
    }

    /// Where to go from now on.
    func use(_ ports: [UInt16]) { state.withLock { $0.ports = ports } }

    /// Ends it. What was acknowledged, and answers that should not have been.
    func end() -> (acknowledged: Set<LogEntry>, problems: [String]) {
        state.withLock { $0.isOver = true }
        _ = eventually { state.withLock { $0.running } == 0 }
        return state.withLock { ($0.acknowledged, $0.problems) }
    }

    private func append(_ member: Int) {
        var client: RelayClient?
        var number = 0
        var entries: [LogEntry] = []
        while !state.withLock({ $0.isOver }) {
            if entries.isEmpty {
                entries = (0..<1 + number % 3).map {
                    LogEntry(
                        member * 1_000_000 + number + $0, "member \(member) entry \(number + $0)")
                }
                number += entries.count
            }
            do {
                if client == nil { client = try connect(member + number) }
                guard let response = try client?.sync(group, entries) else { continue }
                switch response.status {
                case 200:
                    state.withLock { $0.acknowledged.formUnion(entries) }
                    entries = []
                case 503, 429: pause()
                default:
                    state.withLock { $0.problems.append("\(response.status): \(response.text)") }
                    pause()
                }
            } catch {
                client = nil
                pause()
            }
        }
    }

    private func connect(_ number: Int) throws -> RelayClient {
        let port = state.withLock { $0.ports[number % $0.ports.count] }
        return try RelayClient(port: port, timeoutSeconds: 20)
    }

    private func pause() {
        state.withLock { $0.failures += 1 }
        _ = usleep(10_000)
    }
}

/// What is wrong with a log after a load: acknowledged entries that are missing, entries that are doubled.
func defects(of log: [LogEntry], acknowledged: Set<LogEntry>) -> [String] {
    var found: [String] = []
    let missing = acknowledged.subtracting(log)
    if !missing.isEmpty { found.append("\(missing.count) acknowledged entries are missing") }
    if Set(log.map(\.key)).count != log.count { found.append("entries are doubled") }
    return found
}

// What the operator's monitoring reads: counters and gauges in the text format of Prometheus. No group is
// named in them.

internal import Synchronization

final class RelayMetrics: Sendable {
    struct Counters {
        var requests: [String: [Int: Int]] = [:]
        var appendedEntries = 0
        var appendedBytes = 0
        var readEntries = 0
        var readBytes = 0
        var wakeUps = 0
        var cutConnections = 0
        var storeFailures = 0
        var bellPolls = 0
    }

    /// What is read at the moment of the question.
    struct Gauges {
        var waiting = 0
        var connections = 0
        var bodyBytes = 0
        var isBellHeard: Bool?
        var groups: Int64?
        var entries: Int64?
        var bytes: Int64?
    }

    private let counters = Mutex(Counters())

    func count(_ change: (inout Counters) -> Void) { counters.withLock { change(&$0) } }

    /// How often readers were woken.
    var wakeUps: Int { counters.withLock { $0.wakeUps } }

    func text(_ gauges: Gauges) -> String {
        let now = counters.withLock { $0 }
        var lines: [String] = []
        func add(_ name: String, _ kind: String, _ help: String, _ values: [(String, Int64)]) {
            lines.append("# HELP starling_relay_\(name) \(help)")
            lines.append("# TYPE starling_relay_\(name) \(kind)")
            for (labels, value) in values {
                lines.append("starling_relay_\(name)\(labels) \(value)")
            }
        }
        func counter(_ name: String, _ help: String, _ value: Int) {
            add(name, "counter", help, [("", Int64(value))])
        }
        let requests = now.requests.sorted { $0.key < $1.key }.flatMap { kind, statuses in
            statuses.sorted { $0.key < $1.key }.map { status, count in
                ("{kind=\"\(kind)\",status=\"\(status)\"}", Int64(count))
            }
        }
        add("requests_total", "counter", "Requests answered, by kind and status.", requests)
        counter("appended_entries_total", "Entries appended.", now.appendedEntries)
        counter("appended_bytes_total", "Bytes of entries appended.", now.appendedBytes)
        counter("read_entries_total", "Entries handed out.", now.readEntries)
        counter("read_bytes_total", "Bytes of entries handed out.", now.readBytes)
        counter("wake_ups_total", "Waiting readers that were woken by an append.", now.wakeUps)
        counter("cut_connections_total", "Connections cut for being slow.", now.cutConnections)
        counter("store_failures_total", "Requests that the store failed.", now.storeFailures)
        counter("polls_total", "Looks for appends of other processes.", now.bellPolls)
        var now2: [(String, String, Int64?)] = [
            ("waiting_readers", "Readers that wait for an append.", Int64(gauges.waiting)),
            ("connections", "Connections that are open.", Int64(gauges.connections)),
            ("body_bytes", "Bytes of requests being received.", Int64(gauges.bodyBytes)),
        ]
        now2 += [
            ("groups", "Groups enrolled.", gauges.groups),
            ("kept_entries", "Entries that are kept.", gauges.entries),
            ("kept_bytes", "Bytes that are kept, snapshots included.", gauges.bytes),
            (
                "bell_heard",
                "1 while other processes' appends are heard at once, 0 while polling.",
                gauges.isBellHeard.map { $0 ? 1 : 0 }
            ),
        ]
        for (name, help, value) in now2 {
            if let value { add(name, "gauge", help, [("", value)]) }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

// Processes that die, databases that restart, disks that are full: nothing acknowledged is lost, nothing
// doubled.

import Relay
import RelayProtocol
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(.serialized) struct CrashTests {
    @Test(arguments: Engine.allCases) func killedInMidAppend(engine: Engine) async throws {
        try await onThread {
            let place = try TestStorage(engine)
            var relay = try RelayProcess(place.storage)
            let group = TestGroup()
            #expect(try relay.client().enrol(group).status == 201)
            let load = Load(group, ports: [relay.port])
            for _ in 0..<3 {
                #expect(load.waitForAcknowledged(more: 50))
                relay.process.signal(SIGKILL)
                _ = relay.process.wait()
                relay = try RelayProcess(place.storage)
                load.use([relay.port])
            }
            #expect(load.waitForAcknowledged(more: 50))
            let (acknowledged, problems) = load.end()
            #expect(problems == [])
            let log = try relay.client().readAll(group)
            #expect(defects(of: log, acknowledged: acknowledged) == [])
        }
    }

    @Test(arguments: Engine.allCases) func stopsCleanly(engine: Engine) async throws {
        try await onThread {
            let place = try TestStorage(engine)
            let relay = try RelayProcess(place.storage)
            let group = TestGroup()
            _ = try relay.client().enrol(group)
            let start = try relay.client().sync(group).sync.position
            let reader = try relay.client()
            try reader.begin("POST", group.syncPath(after: start, wait: 50), group.headers)
            let client = try relay.client()
            #expect(
                try eventually {
                    try client.request("GET", "/metrics").text.contains("waiting_readers 1\n")
                })
            let load = Load(group, ports: [relay.port])
            #expect(load.waitForAcknowledged(more: 20))
            relay.process.signal(SIGTERM)
            // Who waits gets an answer, and the process ends by itself.
            #expect(try reader.response().status == 200)
            #expect(relay.process.wait() == 0)
            let (acknowledged, problems) = load.end()
            #expect(problems == [])
            #expect(relay.process.output.contains("relay: stopped"))
            #expect(!relay.process.output.contains(group.credential.text))
            let again = try RelayProcess(place.storage)
            let log = try again.client().readAll(group)
            #expect(defects(of: log, acknowledged: acknowledged) == [])
        }
    }

    /// The database goes without a goodbye and comes back: 503 meanwhile, then on.
    @Test func databaseRestartsUnderLoad() async throws {
        try await onThread {
            let cluster = try PostgreSQLCluster()
            defer { cluster.end() }
            let storage = RelayConfiguration.Storage.postgreSQL(try cluster.newDatabase())
            let relays = try [RelayProcess(storage), RelayProcess(storage)]
            let group = TestGroup()
            #expect(try relays[0].client().enrol(group).status == 201)
            let load = Load(group, ports: relays.map(\.port))
            #expect(load.waitForAcknowledged(more: 100))
            for _ in 0..<2 {
                let failures = load.failureCount
                try cluster.crash()
                #expect(eventually { load.failureCount > failures + 4 })
                let health = try relays[0].client().request("GET", "/healthz")
                #expect(health.status == 503)
                #expect(health.headers["retry-after"] != nil)
                try cluster.start()
                #expect(load.waitForAcknowledged(more: 100))
            }
            // One of the two processes dies under load, and the other goes on.
            relays[0].process.signal(SIGKILL)
            load.use([relays[1].port])
            #expect(load.waitForAcknowledged(more: 100))
            let (acknowledged, problems) = load.end()
            #expect(problems == [])
            let log = try relays[1].client().readAll(group)
            #expect(defects(of: log, acknowledged: acknowledged) == [])
            // Whoever waits at one process is woken by an append at another, after all of that.
            let third = try RelayProcess(storage)
            let (reader, writer) = (try relays[1].client(), try third.client())
            let end = try #require(try Self.end(of: group, reader))
            try reader.begin("POST", group.syncPath(after: end, wait: 50), group.headers)
            #expect(try writer.sync(group, [LogEntry(99_999_999)], after: end).status == 200)
            #expect(try reader.response().sync.items == [.entry(LogEntry(99_999_999))])
        }
    }

    private static func end(of group: TestGroup, _ client: RelayClient) throws -> LogPosition? {
        var position: LogPosition?
        while true {
            let answer = try client.sync(group, after: position).sync
            position = answer.position
            if !answer.hasMore { return position }
        }
    }

    /// A disk of some megabytes, seen by the relay alone.
    @Test func fullDiskLosesNothing() async throws {
        guard try TestProcess.run(Self.mount("/mnt", then: "true")).code == 0 else {
            Issue.record(
                "this host cannot mount a small disk (unshare --mount as root): not tested")
            return
        }
        try await onThread {
            let folder = TemporaryDirectory()
            let path = folder.file("disk")
            let relay = try RelayProcess(
                .file("\(path)/relay.db"), prefix: Self.mount(path, then: "exec \"$@\"") + ["sh"])
            let (group, client) = (TestGroup(), try relay.client())
            #expect(try client.enrol(group).status == 201)
            var kept: [LogEntry] = []
            var refusal: RelayClient.Response?
            for number in 0..<100 where refusal == nil {
                let entry = LogEntry(number, String(repeating: "x", count: 200_000))
                let response = try client.sync(group, [entry])
                if response.status == 200 { kept.append(entry) } else { refusal = response }
            }
            #expect(refusal?.status == 507)
            #expect(refusal?.reason == "store-full")
            #expect(refusal?.headers["retry-after"] != nil)
            #expect(kept.count > 3)
            #expect(try client.readAll(group) == kept)
            #expect(try client.request("GET", "/healthz").status == 200)
        }
    }

    /// A shell that mounts a small disk at a path in a name space of its own.
    private static func mount(_ path: String, then command: String) -> [String] {
        [
            "unshare", "--mount", "--propagation", "private", "sh", "-c",
            "mkdir -p '\(path)' && mount -t tmpfs -o size=6m tmpfs '\(path)' && \(command)",
        ]
    }
}

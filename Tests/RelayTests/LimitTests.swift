// Quotas, rates and sizes: each is a refusal with its word, and nothing of what was refused is kept.

import Relay
import RelayProtocol
import Testing

@Suite struct LimitTests {
    @Test(arguments: Engine.allCases) func quotasHold(engine: Engine) throws {
        let relay = try TestRelay(engine) {
            $0.quota.bytes = 10_000
            $0.quota.entries = 5
        }
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let first = try client.sync(group, (1...4).map { LogEntry($0) }).sync
        let many = try client.sync(group, [LogEntry(5), LogEntry(6)])
        #expect(many.status == 507)
        #expect(many.reason == "quota")
        #expect(try client.readAll(group).count == 4)
        let big = String(repeating: "x", count: 9_990)
        #expect(try client.sync(group, [LogEntry(5, big)]).reason == "quota")
        let covers = first.position.text
        let snapshot = try client.request(
            "PUT", "\(group.path)/snapshot?covers=\(covers)", group.headers,
            body: [UInt8](repeating: 1, count: 9_950))
        #expect(snapshot.status == 507)
        let larger = try client.request(
            "PUT", "\(group.path)/snapshot?covers=\(covers)", group.headers,
            body: [UInt8](repeating: 1, count: 10_001))
        #expect(larger.status == 413)
        // What fits is taken still, and another group has room of its own.
        let last = try relay.client()
        #expect(try last.sync(group, [LogEntry(5)]).status == 200)
        #expect(try last.enrol(TestGroup(2)).status == 201)
        #expect(try last.sync(TestGroup(2), [LogEntry(1)]).status == 200)
    }

    @Test func requestsHaveASize() throws {
        let relay = try TestRelay(.sqlite) { $0.quota.requestBytes = 100_000 }
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let large = [LogEntry(1, String(repeating: "x", count: 100_000))]
        let stated = try client.sync(group, large)
        #expect(stated.status == 413)
        #expect(stated.reason == "too-large")
        // The same without saying how much will come.
        let chunked = try relay.client()
        try chunked.begin(
            "POST", group.syncPath(), group.headers.merging(["Transfer-Encoding": "chunked"]) { $1 }
        )
        let body = Framing.request(large)
        try chunked.send("\(String(body.count, radix: 16))\r\n")
        try chunked.send(body)
        try chunked.send("\r\n0\r\n\r\n")
        #expect(try chunked.response().reason == "too-large")
        #expect(try relay.client().readAll(group) == [])
        // In chunks, and not too large.
        let small = Framing.request([LogEntry(1)])
        let good = try relay.client()
        try good.begin(
            "POST", group.syncPath(), group.headers.merging(["Transfer-Encoding": "chunked"]) { $1 }
        )
        for byte in small { try good.send(Array("1\r\n".utf8) + [byte] + Array("\r\n".utf8)) }
        try good.send("0\r\n\r\n")
        #expect(try good.response().sync.outcomes == [.appended])
        #expect(try relay.client().readAll(group) == [LogEntry(1)])
    }

    /// Bodies in memory have a limit for all connections together, and are all accounted for at the end.
    @Test func bodiesHaveAMemory() throws {
        let relay = try TestRelay(.sqlite) { $0.connections.bodyBytes = 3_000_000 }
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        var halves: [RelayClient] = []
        for _ in 0..<2 {
            let half = try relay.client()
            try half.begin(
                "POST", group.syncPath(),
                group.headers.merging(["Content-Length": "9000000"]) { $1 },
                body: [UInt8](repeating: 1, count: 1_400_000))
            halves.append(half)
        }
        #expect(
            eventually {
                (try? ProtocolTests.metric("body_bytes", relay)).flatMap { $0 } == 2_800_000
            })
        let large = [LogEntry(1, String(repeating: "x", count: 1_000_000))]
        let refused = try client.sync(group, large)
        #expect(refused.status == 503)
        #expect(refused.headers["retry-after"] != nil)
        halves = []
        #expect(eventually { (try? client.sync(group, large).status) == 200 })
        let position = try client.sync(group, large).sync.position
        let put = try client.request(
            "PUT", "\(group.path)/snapshot?covers=\(position.text)", group.headers,
            body: [UInt8](repeating: 1, count: 2_000_000))
        #expect(put.status == 201)
        // The bytes are given back when the connection has sent its answer, or its end was noticed.
        #expect(eventually { (try? ProtocolTests.metric("body_bytes", relay)) == 0 })
    }

    @Test func groupsHaveARate() throws {
        let relay = try TestRelay(.sqlite) {
            $0.quota.requestsPerSecond = 1
            $0.quota.burst = 5
        }
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        var refused: RelayClient.Response?
        for _ in 0..<20 where refused == nil {
            let response = try client.sync(group)
            if response.status != 200 { refused = response }
        }
        #expect(refused?.status == 429)
        #expect(refused?.reason == "rate")
        #expect(refused?.headers["retry-after"] == "1")
        // A stranger has used up nothing of another group, nor of this one.
        #expect(try client.enrol(TestGroup(2)).status == 201)
    }

    @Test func addressesHaveFailures() throws {
        let relay = try TestRelay(.sqlite) { $0.connections.failuresPerAddress = 3 }
        let client = try relay.client()
        _ = try client.enrol(TestGroup(1))
        let reasons = try (0..<6).map { _ in try client.sync(TestGroup(2)).reason }
        #expect(reasons.first == "unauthorized")
        #expect(reasons.last == "too-many-failures")
        // Behind a proxy that is believed, each client counts for itself.
        let proxied = try TestRelay(.sqlite) {
            $0.connections.failuresPerAddress = 3
            $0.proxies = ["127.0.0.1"]
        }
        let behind = try proxied.client()
        func sync(_ group: TestGroup, from address: String) throws -> String? {
            var headers = group.headers
            headers["X-Forwarded-For"] = "spoofed, \(address)"
            return try behind.request("POST", group.syncPath(), headers).reason
        }
        let first = try (0..<6).map { _ in try sync(TestGroup(2), from: "192.0.2.1") }
        #expect(first.last == "too-many-failures")
        #expect(try sync(TestGroup(2), from: "192.0.2.2") == "unauthorized")
    }

    @Test(arguments: Engine.allCases) func deletedGroupsAreGone(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client, store) = (TestGroup(), try relay.client(), try relay.store())
        _ = try client.enrol(group)
        let position = try client.sync(group, (1...1500).map { LogEntry($0) }).sync.position
        _ = try client.request(
            "PUT", "\(group.path)/snapshot?covers=\(position.text)", group.headers,
            body: [UInt8](repeating: 1, count: 1_000_000))
        let reader = try relay.client()
        try reader.begin("POST", group.syncPath(after: position, wait: 50), group.headers)
        #expect(eventually { (try? ProtocolTests.metric("waiting_readers", relay)) == 1 })
        #expect(try store.delete(group.name))
        #expect(try !store.delete(group.name))
        #expect(try store.usage(count: 10).isEmpty)
        // Who waited is told.
        #expect(try reader.response().status == 401)
        // Enrolled anew it is another log.
        #expect(try client.enrol(group).status == 201)
        #expect(try client.sync(group, after: position).reason == "other-log")
        #expect(try client.readAll(group) == [])
    }

    /// Relations between limits that the code relies on.
    @Test func limitsFit() {
        let usual = RelayConfiguration()
        #expect(usual.quota.requestBytes <= usual.connections.bodyBytes)
        #expect(Int64(usual.quota.requestBytes) <= RelayLimits.refusedBytesMax)
        #expect(RelayLimits.smallBodyBytesMax < RelayLimits.strangerBodyBytesMax)
        #expect(RelayLimits.pieceBytes <= usual.connections.bodyBytes)
        #expect(RelayLimits.uploadSecondsMax < usual.graceSeconds)
        #expect(usual.graceSeconds < usual.keySeconds)
        #expect(usual.connections.perAddress <= usual.connections.count)
    }
}

// Clients that mean harm, or are broken: they are refused with words, cut, or ignored, and the relay
// serves on.

import Relay
import RelayProtocol
import TestKit
import Testing

@Suite struct HostileTests {
    @Test func bodiesCutAnywhereAreRefused() throws {
        let relay = try TestRelay(.sqlite)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let body = Framing.request([LogEntry(1), LogEntry(2, "")])
        let ends = [4, 4 + 1 + 16 + 4 + 9]
        for count in 1..<body.count where !ends.contains(count) {
            let response = try client.request(
                "POST", group.syncPath(), group.headers, body: Array(body.prefix(count)))
            #expect(response.status == 400, "cut at \(count)")
            #expect(response.reason == "bad-request")
            #expect(!response.text.isEmpty)
        }
        #expect(try client.readAll(group) == [])
    }

    @Test func garbageIsRefusedWithWords() throws {
        let relay = try TestRelay(.sqlite)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let cases: [(method: String, path: String, status: Int)] = [
            ("GET", "/", 404), ("GET", "/v1/groups", 404), ("POST", "/healthz", 405),
            ("DELETE", group.path, 405), ("GET", "\(group.path)/sync", 405),
            ("PATCH", "\(group.path)/snapshot", 405), ("PUT", "\(group.path)/credential", 405),
            ("POST", "\(group.path)/sync/more", 404), ("POST", "\(group.path)/nothing", 404),
            ("POST", "/v1/groups/short/sync", 400), ("POST", "/v1/groups//sync", 400),
            ("POST", "\(group.path)/sync?after=1", 400),
            ("POST", "\(group.path)/sync?wait=-1", 400),
            ("POST", "\(group.path)/sync?wait=99999999999999999999", 400),
            ("PUT", "\(group.path)/snapshot", 400),
            ("PUT", "\(group.path)/snapshot?covers=\(String(repeating: "f", count: 48))", 400),
            ("PUT", "\(group.path)/snapshot?covers=\(String(repeating: "0", count: 48))", 409),
        ]
        for one in cases {
            let response = try client.request(one.method, one.path, group.headers)
            #expect(response.status == one.status, "\(one.method) \(one.path): \(response.text)")
            #expect(response.reason != nil)
            #expect(response.text.count > 10)
        }
        for credential in ["", "Bearer", "Bearer x", "Basic \(group.credential.text)"] {
            let response = try client.request(
                "POST", group.syncPath(), ["Authorization": credential])
            #expect(response.status == 401)
        }
    }

    /// Random bytes, and requests with one byte changed: whatever comes of them, the next one is served.
    @Test func noiseDoesNoHarm() throws {
        let relay = try TestRelay(.sqlite) { $0.connections.failuresPerAddress = 100_000 }
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        var random = SeededGenerator(seed: 5)
        let body = Framing.request([LogEntry(7)])
        let whole =
            Array(
                ("POST \(group.syncPath()) HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer "
                    + "\(group.credential.text)\r\nContent-Length: \(body.count)\r\n\r\n").utf8)
            + body
        for round in 0..<300 {
            var bytes = whole
            if round % 3 == 0 {
                bytes = (0..<random.below(400)).map { _ in UInt8(truncatingIfNeeded: random.next())
                }
            } else {
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            let noisy = try relay.client(timeoutSeconds: 1)
            try noisy.send(bytes)
        }
        #expect(try client.request("GET", "/healthz").text == "ok\n")
        let entries = try client.readAll(group)
        #expect(entries.allSatisfy { $0.key.count == 16 })
    }

    @Test func slowClientsAreCut() async throws {
        let relay = try TestRelay(.sqlite) {
            $0.connections.headerSeconds = 1
            $0.connections.idleSeconds = 2
            $0.connections.bytesPerSecondMin = 1_000_000
        }
        let group = TestGroup()
        _ = try relay.client().enrol(group)
        // One byte of the head now and then keeps nothing open.
        let slowHead = try relay.client(timeoutSeconds: 30)
        let isHeadCut = try await onThread {
            let head = "POST \(group.syncPath()) HTTP/1.1\r\nX: "
            try? slowHead.send(head)
            return eventually { (try? slowHead.send("a")) == nil }
        }
        #expect(isHeadCut)
        // The same with a body.
        let slowBody = try relay.client(timeoutSeconds: 30)
        let isBodyCut = try await onThread {
            try slowBody.begin(
                "POST", group.syncPath(),
                group.headers.merging(["Content-Length": "100000"]) { $1 })
            return eventually { (try? slowBody.send("a")) == nil }
        }
        #expect(isBodyCut)
        // Nothing at all.
        let silent = try relay.client(timeoutSeconds: 30)
        #expect(try await onThread { silent.isClosedByPeer() })
        // Who waits for an append is not slow.
        let start = try relay.client().sync(group).sync.position
        let reader = try relay.client()
        let answer = try await onThread {
            try reader.sync(group, after: start, wait: 5).sync
        }
        #expect(answer.items == [])
        #expect(try relay.client().request("GET", "/healthz").status == 200)
    }

    @Test func connectionsOfOneAddressAreLimited() throws {
        let relay = try TestRelay(.sqlite) { $0.connections.perAddress = 3 }
        let first = try (0..<3).map { _ in try relay.client() }
        for client in first { #expect(try client.request("GET", "/healthz").status == 200) }
        let fourth = try relay.client(timeoutSeconds: 30)
        #expect(fourth.isClosedByPeer())
        #expect(try first[0].request("GET", "/healthz").status == 200)
    }

    @Test func manyHalfRequestsLeaveRoom() throws {
        let relay = try TestRelay(.sqlite)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        var halves: [RelayClient] = []
        for _ in 0..<200 {
            let half = try relay.client()
            try half.begin(
                "POST", group.syncPath(),
                group.headers.merging(["Content-Length": "16000000"]) { $1 }, body: [1, 2, 3])
            halves.append(half)
        }
        #expect(try client.sync(group, [LogEntry(1)]).status == 200)
        #expect(try client.readAll(group) == [LogEntry(1)])
    }
}

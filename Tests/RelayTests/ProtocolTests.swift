// The protocol over real HTTP on loopback, on both engines.

import Relay
import RelayProtocol
import Testing

@Suite struct ProtocolTests {
    @Test(arguments: Engine.allCases) func appendsAndReads(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        #expect(try client.enrol(group).status == 201)
        #expect(try client.enrol(group).status == 200)

        let first = try client.sync(group, [LogEntry(1), LogEntry(2)])
        #expect(first.status == 200, "\(first.text)")
        let answer = try first.sync
        #expect(answer.outcomes == [.appended, .appended])
        #expect(answer.items == [.own(key: LogEntry(1).key), .own(key: LogEntry(2).key)])
        #expect(!answer.hasMore)

        let other = try relay.client()
        #expect(try other.readAll(group) == [LogEntry(1), LogEntry(2)])
        // What is behind the position, and nothing else.
        let second = try other.sync(group, [LogEntry(3)], after: answer.position).sync
        #expect(second.items == [.own(key: LogEntry(3).key)])
        let third = try client.sync(group, [LogEntry(4)], after: answer.position).sync
        #expect(third.items == [.entry(LogEntry(3)), .own(key: LogEntry(4).key)])
        #expect(try client.sync(group, after: third.position).sync.items == [])
    }

    @Test(arguments: Engine.allCases) func appendsOnce(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let start = try client.sync(group, [LogEntry(1)]).sync
        // The same again, beside something new and twice in one request.
        let again = try client.sync(
            group, [LogEntry(1), LogEntry(2), LogEntry(2)], after: start.position
        ).sync
        #expect(again.outcomes == [.known, .appended, .known])
        #expect(again.items == [.own(key: LogEntry(2).key)])
        // Other bytes: nothing of the request is appended.
        let conflict = try client.sync(group, [LogEntry(3), LogEntry(1, "other")])
        #expect(conflict.status == 409)
        #expect(conflict.reason == "key-conflict")
        #expect(conflict.headers["starling-entry"] == "1")
        #expect(try client.readAll(group) == [LogEntry(1), LogEntry(2)])
    }

    @Test(arguments: Engine.allCases) func readsInParts(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let big = (0..<12).map { LogEntry($0, String(repeating: "x", count: 1 << 20)) }
        for entry in big { #expect(try client.sync(group, [entry]).status == 200) }
        let answer = try client.sync(group).sync
        #expect(answer.hasMore)
        #expect((1...4).contains(answer.items.count))
        #expect(try client.readAll(group) == big)
        let small = (100..<3100).map { LogEntry($0) }
        #expect(try client.sync(group, small, after: answer.position).status == 200)
        #expect(try client.readAll(group) == big + small)
    }

    @Test(arguments: Engine.allCases) func refusesStrangers(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        var wrong = group
        wrong.credential = TestGroup(9).credential
        let stranger = try client.sync(wrong)
        let unknown = try client.sync(TestGroup(7))
        #expect(stranger.status == 401)
        #expect(stranger.reason == unknown.reason)
        #expect(stranger.body == unknown.body)
        #expect(try client.request("POST", group.syncPath()).status == 401)
        #expect(try client.enrol(wrong).reason == "taken")
        // A body that is too big for a stranger is not kept.
        let large = [LogEntry(1, String(repeating: "x", count: 1 << 20))]
        #expect(try client.sync(wrong, large).reason == "unauthorized")
        #expect(try client.sync(group, large).status == 200)
    }

    @Test(arguments: Engine.allCases) func changesCredentials(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        var next = group
        next.credential = TestGroup(5).credential
        let change = try client.request(
            "POST", "\(group.path)/credential", group.headers,
            body: Array(next.credential.text.utf8))
        #expect(change.status == 200)
        #expect(try client.sync(group).status == 401)
        #expect(try client.sync(next).status == 200)
        let bad = try client.request(
            "POST", "\(group.path)/credential", next.headers, body: Array("short".utf8))
        #expect(bad.reason == "bad-request")
    }

    @Test(arguments: Engine.allCases) func enrolsWithTokens(engine: Engine) throws {
        let relay = try TestRelay(engine) { $0.isOpen = false }
        let client = try relay.client()
        #expect(try client.enrol(TestGroup(1)).reason == "token-needed")
        let store = try relay.store()
        let token = try store.makeToken(uses: 1, lifetimeMilliseconds: 60_000)
        func enrol(_ group: TestGroup, _ token: String) throws -> RelayClient.Response {
            var headers = group.headers
            headers["Starling-Token"] = token
            return try client.request("PUT", group.path, headers)
        }
        #expect(try enrol(TestGroup(1), "wrong").reason == "token-needed")
        #expect(try enrol(TestGroup(1), token).status == 201)
        // The answer was lost: once more is no new enrolment.
        #expect(try enrol(TestGroup(1), token).status == 200)
        #expect(try enrol(TestGroup(2), token).reason == "token-needed")
        let old = try store.makeToken(uses: 5, lifetimeMilliseconds: 60_000)
        relay.calendar.pass(seconds: 61)
        #expect(try enrol(TestGroup(2), old).reason == "token-needed")
        let taken = try store.makeToken(uses: 5, lifetimeMilliseconds: 60_000)
        #expect(try store.revokeTokens() == 1)
        #expect(try enrol(TestGroup(2), taken).reason == "token-needed")
    }

    @Test(arguments: Engine.allCases) func wakesReaders(engine: Engine) async throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        let start = try client.sync(group, [LogEntry(1)]).sync.position
        let reader = try relay.client()
        try reader.begin("POST", group.syncPath(after: start, wait: 50), group.headers)
        #expect(eventually { (try? Self.metric("waiting_readers", relay)) == 1 })
        let begun = ContinuousClock.now
        #expect(try client.sync(group, [LogEntry(2)], after: start).status == 200)
        let answer = try reader.response().sync
        #expect(answer.items == [.entry(LogEntry(2))])
        #expect(ContinuousClock.now - begun < .seconds(40))
        // The time that is over is an answer, too.
        let empty = try reader.sync(group, after: answer.position, wait: 1).sync
        #expect(empty.items == [])
        #expect(empty.position == answer.position)
    }

    @Test(arguments: Engine.allCases) func tellsHealthAndMetrics(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let client = try relay.client()
        #expect(try client.request("GET", "/healthz").text == "ok\n")
        let group = TestGroup()
        _ = try client.enrol(group)
        _ = try client.sync(group, [LogEntry(1)])
        let page = try client.request("GET", "/metrics")
        #expect(page.text.contains("starling_relay_appended_entries_total 1\n"))
        #expect(page.text.contains("starling_relay_groups 1\n"))
        #expect(page.text.contains("requests_total{kind=\"sync\",status=\"200\"} 1\n"))
        #expect(!page.text.contains(group.name.text))
    }

    static func metric(_ name: String, _ relay: TestRelay) throws -> Int? {
        let page = try relay.client().request("GET", "/metrics").text
        let line = page.split(separator: "\n").first { $0.hasPrefix("starling_relay_\(name) ") }
        return line?.split(separator: " ").last.flatMap { Int($0) }
    }
}

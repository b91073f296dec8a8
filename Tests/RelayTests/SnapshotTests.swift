// Snapshots, and what they let go: on both engines, with a calendar of the test's own.

import Relay
import RelayProtocol
import TestKit
import Testing

@Suite struct SnapshotTests {
    private static let day: Int64 = 86_400

    private static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private static func put(
        _ client: RelayClient, _ group: TestGroup, covers: LogPosition, _ content: [UInt8]
    ) throws -> RelayClient.Response {
        try client.request(
            "PUT", "\(group.path)/snapshot?covers=\(covers.text)", group.headers, body: content)
    }

    private static func get(
        _ client: RelayClient, _ group: TestGroup, previous: Bool = false
    ) throws -> RelayClient.Response {
        try client.request(
            "GET", "\(group.path)/snapshot\(previous ? "?previous=1" : "")", group.headers)
    }

    /// Does what the relay does once a minute, to its end.
    private static func release(_ store: RelayStore, _ seconds: Int64 = 7 * day) throws {
        let (grace, keys) = (seconds * 1000, 90 * day * 1000)
        for group in try store.releasable(graceMilliseconds: grace, count: 100) {
            while try store.release(group, graceMilliseconds: grace, keyMilliseconds: keys) {}
        }
        while try store.sweep() {}
    }

    @Test(arguments: Engine.allCases) func comeAgain(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client) = (TestGroup(), try relay.client())
        _ = try client.enrol(group)
        #expect(try Self.get(client, group).reason == "no-snapshot")
        let one = try client.sync(group, [LogEntry(1)]).sync.position
        for count in [0, 1, RelayLimits.pieceBytes, 3 * RelayLimits.pieceBytes + 17, 5_000_000] {
            let content = Self.bytes(count, seed: UInt64(count))
            let put = try Self.put(client, group, covers: one, content)
            #expect(put.status == 201, "\(put.text)")
            let got = try Self.get(client, group)
            #expect(got.status == 200)
            #expect(got.body == content, "\(count) bytes")
            #expect(got.headers["starling-covers"] == one.text)
        }
        let two = try client.sync(group, [LogEntry(2)], after: one).sync.position
        #expect(try Self.put(client, group, covers: two, [2]).status == 201)
        #expect(try Self.put(client, group, covers: one, [1]).reason == "older-snapshot")
        #expect(try Self.get(client, group).body == [2])
    }

    @Test(arguments: Engine.allCases) func letEntriesGo(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client, store) = (TestGroup(), try relay.client(), try relay.store())
        _ = try client.enrol(group)
        var position: LogPosition?
        var positions: [LogPosition] = []
        for number in 1...6 {
            let answer = try client.sync(group, [LogEntry(number)], after: position).sync
            position = answer.position
            positions.append(answer.position)
        }
        #expect(try Self.put(client, group, covers: positions[3], [1]).status == 201)
        relay.calendar.pass(seconds: 6 * Self.day)
        try Self.release(store)
        // Within the time of grace one bad snapshot loses nothing.
        #expect(try client.readAll(group).count == 6)
        relay.calendar.pass(seconds: 2 * Self.day)
        try Self.release(store)
        let behind = try client.sync(group)
        #expect(behind.status == 410)
        #expect(behind.reason == "snapshot-needed")
        #expect(try client.sync(group, after: positions[2]).reason == "snapshot-needed")
        #expect(try client.readAll(group, after: positions[3]) == [LogEntry(5), LogEntry(6)])
        #expect(try client.readAll(group, after: positions[4]) == [LogEntry(6)])
        // A key is remembered longer than its entry.
        let known = try client.sync(group, [LogEntry(2)], after: positions[5]).sync
        #expect(known.outcomes == [.known])
        #expect(known.items == [])
        #expect(
            try client.sync(group, [LogEntry(2, "other")], after: positions[5]).status == 409)
        let usage = try #require(try store.usage(count: 1).first)
        #expect(usage.entries == 2)
        #expect(usage.bytes == 2 * (16 + 9) + 1)
        // Nobody can start from a place that has gone and not be told.
        let old = LogPosition(
            generation: positions[0].generation, number: 1, link: [UInt8](repeating: 0, count: 8))
        #expect(try client.sync(group, after: old).reason == "snapshot-needed")
    }

    @Test(arguments: Engine.allCases) func keepThePreviousOne(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client, store) = (TestGroup(), try relay.client(), try relay.store())
        _ = try client.enrol(group)
        var position: LogPosition?
        // A snapshot a day for three weeks.
        for day in 1...21 {
            let answer = try client.sync(group, [LogEntry(day)], after: position).sync
            position = answer.position
            let put = try Self.put(client, group, covers: answer.position, [UInt8(day)])
            #expect(put.status == 201)
            try Self.release(store)
            #expect(try store.usage(count: 1).first.map { $0.snapshots <= 3 } == true)
            relay.calendar.pass(seconds: Self.day)
        }
        try Self.release(store)
        #expect(try Self.get(client, group).body == [21])
        let previous = try Self.get(client, group, previous: true)
        #expect(previous.status == 200)
        // The one before, and all that came after it, is a whole.
        let covers = try #require(
            previous.headers["starling-covers"].flatMap { LogPosition(text: $0) })
        let first = Int(try #require(previous.body.first)) + 1
        #expect(try client.readAll(group, after: covers) == (first...21).map { LogEntry($0) })
        // Old entries do go although there is always a young snapshot.
        #expect(try client.sync(group).reason == "snapshot-needed")
    }

    @Test(arguments: Engine.allCases) func leaveNothingWhenCut(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client, store) = (TestGroup(), try relay.client(), try relay.store())
        _ = try client.enrol(group)
        let position = try client.sync(group, [LogEntry(1)]).sync.position
        do {
            let half = try relay.client()
            try half.begin(
                "PUT", "\(group.path)/snapshot?covers=\(position.text)",
                group.headers.merging(["Content-Length": "5000000"]) { $1 },
                body: [UInt8](repeating: 1, count: 2_000_000))
            // The pieces that came are there, and no snapshot.
            #expect(
                try eventually {
                    try store.usage(count: 1).first.map { $0.bytes > 1_000_000 } == true
                })
            #expect(try Self.get(client, group).reason == "no-snapshot")
        }
        let isGone = try eventually {
            while try store.sweep() {}
            return try store.usage(count: 1).first?.bytes == 16 + 9
        }
        #expect(isGone)
    }

    @Test(arguments: Engine.allCases) func releaseInSteps(engine: Engine) throws {
        let relay = try TestRelay(engine)
        let (group, client, store) = (TestGroup(), try relay.client(), try relay.store())
        _ = try client.enrol(group)
        var position: LogPosition?
        for start in stride(from: 0, to: 3000, by: 1000) {
            let entries = (start..<start + 1000).map { LogEntry($0) }
            position = try client.sync(group, entries, after: position).sync.position
        }
        let end = try #require(position)
        #expect(try Self.put(client, group, covers: end, [1]).status == 201)
        relay.calendar.pass(seconds: 8 * Self.day)
        try Self.release(store)
        #expect(try store.usage(count: 1).first?.entries == 0)
        #expect(try client.readAll(group, after: end) == [])
        // After the keys' time, they go, too.
        relay.calendar.pass(seconds: 100 * Self.day)
        let next = try client.sync(group, [LogEntry(9000)], after: end).sync.position
        #expect(try Self.put(client, group, covers: next, [2]).status == 201)
        relay.calendar.pass(seconds: 8 * Self.day)
        try Self.release(store)
        let again = try client.sync(group, [LogEntry(0)], after: next).sync
        #expect(again.outcomes == [.appended])
    }
}

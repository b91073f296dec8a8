// Two relay processes on one PostgreSQL, and relays whose store is not what it was.

import Relay
import RelayProtocol
import Testing

@Suite struct SharedTests {
    @Test func readersAreWokenByTheOtherProcess() throws {
        let place = try TestStorage(.postgreSQL)
        let (one, two) = (
            try TestRelay(.postgreSQL, in: place), try TestRelay(.postgreSQL, in: place)
        )
        let (group, writer, reader) = (TestGroup(), try one.client(), try two.client())
        _ = try writer.enrol(group)
        #expect(eventually { (try? ProtocolTests.metric("bell_heard", two)) == 1 })
        var position = try writer.sync(group).sync.position
        var times: [Duration] = []
        for number in 1...20 {
            try reader.begin("POST", group.syncPath(after: position, wait: 50), group.headers)
            #expect(eventually { (try? ProtocolTests.metric("waiting_readers", two)) == 1 })
            let begun = ContinuousClock.now
            let sent = try writer.sync(group, [LogEntry(number)], after: position)
            #expect(sent.status == 200)
            let answer = try reader.response().sync
            times.append(ContinuousClock.now - begun)
            #expect(answer.items == [.entry(LogEntry(number))])
            position = answer.position
        }
        // 50 ms are promised; a machine under load may miss that now and then, not mostly.
        let median = times.sorted()[times.count / 2]
        #expect(median < .milliseconds(50), "median \(median)")
    }

    @Test func deafRelaysPoll() throws {
        let cluster = try PostgreSQLCluster.shared()
        let place = try TestStorage(.postgreSQL)
        guard case .postgreSQL(let url) = place.storage else { return }
        let database = PostgreSQLCluster.name(url)
        let (one, two) = (
            try TestRelay(.postgreSQL, in: place), try TestRelay(.postgreSQL, in: place)
        )
        let (group, writer, reader) = (TestGroup(), try one.client(), try two.client())
        _ = try writer.enrol(group)
        var position = try writer.sync(group).sync.position
        for number in 1...5 {
            #expect(eventually { (try? ProtocolTests.metric("bell_heard", two)) == 1 })
            try reader.begin("POST", group.syncPath(after: position, wait: 50), group.headers)
            #expect(eventually { (try? ProtocolTests.metric("waiting_readers", two)) == 1 })
            // Every listening connection is cut, and with it every other one of the database.
            try cluster.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\(database)'"
            )
            let sent = try writer.sync(group, [LogEntry(number)], after: position)
            #expect(sent.status == 200, "\(sent.text)")
            let answer = try reader.response().sync
            #expect(answer.items == [.entry(LogEntry(number))])
            position = answer.position
        }
    }

    @Test func oneLogForAll() async throws {
        let place = try TestStorage(.postgreSQL)
        let (one, two) = (
            try TestRelay(.postgreSQL, in: place), try TestRelay(.postgreSQL, in: place)
        )
        let group = TestGroup()
        _ = try one.client().enrol(group)
        let ports = [one.server.port, two.server.port]
        let acknowledged = try await onThread {
            let load = Load(group, ports: ports, members: 8)
            #expect(load.waitForAcknowledged(more: 500))
            let (acknowledged, problems) = load.end()
            #expect(problems == [])
            return acknowledged
        }
        let logs = try [one.client().readAll(group), two.client().readAll(group)]
        #expect(logs[0] == logs[1])
        #expect(defects(of: logs[0], acknowledged: acknowledged) == [])
    }

    /// Many processes that start at once on an empty database make its tables once.
    @Test func migratesOnce() async throws {
        let place = try TestStorage(.postgreSQL)
        let relays = try await withThrowingTaskGroup(of: TestRelay.self) { tasks in
            for _ in 0..<6 {
                tasks.addTask { try await onThread { try TestRelay(.postgreSQL, in: place) } }
            }
            var relays: [TestRelay] = []
            for try await relay in tasks { relays.append(relay) }
            return relays
        }
        let group = TestGroup()
        _ = try relays[0].client().enrol(group)
        for (number, relay) in relays.enumerated() {
            #expect(try relay.client().sync(group, [LogEntry(number)]).status == 200)
        }
        #expect(try relays[5].client().readAll(group).count == 6)
    }

    /// A relay that was restored from a backup says so to everybody who has seen more, also after it went on.
    @Test func restoredBackupsAreNoticed() throws {
        let place = try TestStorage(.sqlite)
        guard case .file(let path) = place.storage else { return }
        let group = TestGroup()
        var relay = try TestRelay(.sqlite, in: place)
        _ = try relay.client().enrol(group)
        let old = try relay.client().sync(group, [LogEntry(1), LogEntry(2)]).sync.position
        relay.stop()
        #expect(try TestProcess.run(["cp", path, "\(path).backup"]).code == 0)
        relay = try TestRelay(.sqlite, in: place)
        let seen = try relay.client().sync(group, [LogEntry(3)], after: old).sync.position
        relay.stop()
        #expect(try TestProcess.run(["mv", "\(path).backup", path]).code == 0)
        relay = try TestRelay(.sqlite, in: place)
        let client = try relay.client()
        let ahead = try client.sync(group, after: seen)
        #expect(ahead.status == 409)
        #expect(ahead.reason == "rolled-back")
        // Another member appends as much and more: the number is there again, the entry is not.
        #expect(try client.sync(group, [LogEntry(4), LogEntry(5)], after: old).status == 200)
        #expect(try client.sync(group, after: seen).reason == "rolled-back")
        #expect(try client.sync(group, [LogEntry(6)], after: seen).reason == "rolled-back")
        // Who has seen no more than the backup goes on as if nothing had been.
        #expect(try client.readAll(group, after: old) == [LogEntry(4), LogEntry(5)])
        // Starting over brings back what only a member has.
        let again = try client.sync(group, [LogEntry(3), LogEntry(2)]).sync
        #expect(again.outcomes == [.appended, .known])
    }
}

// Scenarios with the log of a relay: an entry that is hidden from a reader, rows that are half received, rows
// that are forgotten between two parts.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Values

extension Directed {
    /// Whoever takes a transfer of which a part is missing claims to have its rows.
    static func gapInLogTaken() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "SELECT 1"])
        pair[0].bounds.chunkRowsMax = 1
        try Connection(path: folder.file("zero")).execute(
            "INSERT INTO t VALUES(2, 'a', 1), (3, 'b', 2), (4, 'c', 3), (5, 'd', 4)")
        try pair[0].fold()
        var uploads = 0
        try forward(pair) { relay, request, name in
            let isPart = request.isUpload && name == "zero"
            uploads += isPart ? 1 : 0
            relay.faults.hidden = isPart && uploads == 2 ? 100 : 0
        }
        let (wanted, found) = (try pair[0].summary(), try pair[1].summary())
        guard uploads > 4 else { return ["only \(uploads) entries were appended"] }
        if found.vector == wanted.vector, found.digest == wanted.digest { return [] }
        let claim = found.vector == wanted.vector ? "claims to have all" : "has less for ever"
        return ["a reader that was not shown a part \(claim)"]
    }

    /// Lets a pair meet at a relay for 20 seconds; `before` each request.
    private static func forward(
        _ pair: [Replica], before: (SimulatedRelay, LogRequest, String) throws -> Void
    ) throws {
        let relay = SimulatedRelay(seed: 1)
        relay.readers = ["one"]
        var random = SeededGenerator(seed: 1)
        let forwarders = try zip(["zero", "one"], pair).map { name, replica in
            let forwarder = try Forwarder(
                node: name, replica: replica, seal: PlainSeal(author: name), log: [7],
                random: { random.next() }, isRetryable: { _ in false })
            forwarder.limits.batchEntriesMax = 1
            forwarder.replicaChanged(try replica.summary())
            return forwarder
        }
        for now in stride(from: Milliseconds(1_000_000), to: 1_020_000, by: 100) {
            for (name, forwarder) in zip(["zero", "one"], forwarders) {
                while forwarder.work(now) {}
                for request in forwarder.takeRequests(now) {
                    try before(relay, request, name)
                    forwarder.answered(request.id, relay.answer(request, of: name), now: now)
                }
            }
        }
    }

    /// Seed 10090261. Between two parts of a transfer its author collects a row whose delete the reader,
    /// which went back since, has not seen: what comes after that says so.
    static func laterFloorUnsaid() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "SELECT 1"])
        pair[0].bounds.chunkRowsMax = 1
        let app = try Connection(path: folder.file("zero"))
        try app.execute("INSERT INTO t VALUES(2, 'a', 1), (3, 'b', 2), (4, 'c', 3), (5, 'd', 4)")
        try pair[0].fold()
        var uploads = 0
        try forward(pair) { _, request, name in
            guard request.isUpload, name == "zero" else { return }
            uploads += 1
            guard uploads == 2 else { return }
            try app.execute("DELETE FROM t WHERE id = 1")
            try collect(pair[0], after: pair[0])
        }
        guard !pair[0].floor.isEmpty, uploads > 2 else { return ["nothing was collected"] }
        let (wanted, found) = (try pair[0].summary(), try pair[1].summary())
        return found.vector == wanted.vector && found.digest != wanted.digest
            ? ["a reader of the log has all, and a row that was deleted"] : []
    }

    /// HostileRelayTests with the seed 5001. A row was inserted before the vector, and changed beyond it: a
    /// delta for the log brings it.
    static func mixedRowsLeftOut() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "SELECT 1"])
        try Connection(path: folder.file("zero")).execute(
            "UPDATE t SET b = 'new'; INSERT INTO t VALUES(2, 'b', 1), (3, 'c', 2)")
        try pair[0].fold()
        pair[0].bounds.chunkRowsMax = 1
        guard let half = try pair[0].openDelta(base: pair[1].vector, resume: nil),
            let chunk = try half.next()
        else { return ["there is nothing to tell"] }
        _ = try pair[1].apply(chunk, of: half.header)
        half.close()
        let third = try replica("third", in: folder, 3)
        _ = try third.adoptSchema(try pair[0].schemaDescription())
        try third.finishScans()
        guard
            let log = try pair[1].openLogDelta(
                base: VersionVector(), resume: nil, isCoveredOnly: true)
        else { return ["there is nothing to append"] }
        while let chunk = try log.next() { _ = try third.apply(chunk, of: log.header) }
        _ = try third.finish(log.header)
        log.close()
        let rows = try Connection(path: folder.file("third")).query("SELECT a FROM t WHERE id = 1")
        return rows == [[.string("kept")]] ? [] : ["of a row that the log was told of are \(rows)"]
    }
    /// Seed 10060391. What replaced a change stands beyond the vector of who tells the log; the change itself
    /// is seen by nobody any more, and what it had replaced must go all the same.
    static func hiddenNewsLeftOut() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.deleteWins, folder, ["SELECT 1", "SELECT 1"])
        let app = try Connection(path: folder.file("zero"))
        // The first delete reaches the second; of what follows it gets the rows, and not the end.
        try app.execute("DELETE FROM t WHERE id = 1")
        try pair[0].fold()
        let told = pair[0].vector
        try app.execute("INSERT INTO t VALUES(1, 'again', 2); INSERT INTO t VALUES(2, 'b', 1)")
        try pair[0].fold()
        let reader = try replica("reader", in: folder, 3)
        _ = try reader.adoptSchema(try pair[0].schemaDescription())
        try reader.finishScans()
        try tellLog(of: pair[1], to: reader)
        let base = pair[1].vector
        guard let half = try pair[0].openDelta(base: base, resume: nil) else {
            return ["there is nothing to tell"]
        }
        while let chunk = try half.next() { _ = try pair[1].apply(chunk, of: half.header) }
        half.close()
        // Some other peer says that all up to the delete is here.
        let header = DeltaHeader(
            source: pair[0].origin, base: base, snapshot: told, rows: 0, bytes: 0)
        _ = try pair[1].finish(header)
        try tellLog(of: pair[1], to: reader)
        let shown = try Connection(path: folder.file("reader"))
            .query("SELECT a FROM t WHERE id = 1")
        let isWhole = try reader.summary().isWhole
        guard reader.vector == pair[1].vector else { return ["the log did not tell all"] }
        return shown == [[.string("kept")]] && isWhole
            ? ["a reader of the log claims to be whole and shows what was deleted"] : []
    }

    /// Appends what a reader lacks of a replica, and reads it.
    private static func tellLog(of replica: Replica, to reader: Replica) throws {
        guard
            let log = try replica.openLogDelta(
                base: reader.vector, resume: nil, isCoveredOnly: true)
        else { return }
        while let chunk = try log.next() { _ = try reader.apply(chunk, of: log.header) }
        _ = try reader.finish(log.header)
        log.close()
    }
}

// When the file is flushed: before anything new is told, and not again for what is on disk already.
// A flush is seen by the call that goes before it.

import CausalModel
import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct FlushTests {
    private static let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE u(x)"

    /// A tracked file, and how often its replica was about to flush.
    private final class Watched {
        let cluster: Cluster
        var flushes = 0
        var replica: Replica { cluster[0].replica }
        var app: Connection { cluster[0].app }

        init() throws {
            cluster = try Cluster(2, schema: FlushTests.schema, track: ["t"])
            _ = try replica.summary()
            replica.willExport = { [unowned self] _, _ in flushes += 1 }
        }

        func flushes(_ body: () throws -> Void) rethrows -> Int {
            let before = flushes
            try body()
            return flushes - before
        }
    }

    @Test func anIdleFileIsNotFlushedAgain() throws {
        let watched = try Watched()
        let count = try watched.flushes {
            for _ in 0..<3 { _ = try watched.replica.summary() }
            #expect(try watched.replica.openDelta(base: watched.replica.vector, resume: nil) == nil)
        }
        #expect(count == 0)
    }

    @Test func whatAProgramWroteIsFlushedOnceBeforeItIsTold() throws {
        let watched = try Watched()
        try watched.app.execute("INSERT INTO t VALUES(1, 'a')")
        #expect(try watched.flushes { _ = try watched.replica.summary() } == 1)
        let count = try watched.flushes {
            let delta = try watched.replica.openDelta(base: VersionVector(), resume: nil)
            #expect(delta?.header.rows == 1)
            delta?.close()
        }
        #expect(count == 0)
    }

    @Test func whatIsFoundWhenADeltaOpensIsFlushedBeforeItLeaves() throws {
        let watched = try Watched()
        try watched.app.execute("INSERT INTO t VALUES(1, 'a')")
        let count = try watched.flushes {
            let delta = try watched.replica.openDelta(base: VersionVector(), resume: nil)
            #expect(delta?.header.rows == 1)
            delta?.close()
        }
        #expect(count == 1)
    }

    @Test func anyCommitOfAnotherConnectionIsFlushed() throws {
        let watched = try Watched()
        try watched.app.execute("INSERT INTO u VALUES(1)")
        #expect(try watched.flushes { _ = try watched.replica.summary() } == 1)
    }

    @Test func whatCameFromAPeerIsFlushedBeforeItIsStated() throws {
        let watched = try Watched()
        try watched.cluster[1].app.execute("INSERT INTO t VALUES(2, 'b')")
        try watched.cluster.send(1, 0)
        #expect(try watched.flushes { _ = try watched.replica.summary() } == 1)
    }

    @Test func onlyOthersCommitsAreNews() throws {
        let watched = try Watched()
        #expect(try !watched.replica.hasForeignCommit())
        try watched.cluster[1].app.execute("INSERT INTO t VALUES(2, 'b')")
        try watched.cluster.send(1, 0)
        _ = try watched.replica.summary()
        #expect(try !watched.replica.hasForeignCommit())
        try watched.app.execute("INSERT INTO t VALUES(3, 'c')")
        #expect(try watched.replica.hasForeignCommit())
        // A delta that folds it does not make it known to other peers: it stays news.
        let delta = try watched.replica.openDelta(base: VersionVector(), resume: nil)
        delta?.close()
        #expect(try watched.replica.hasForeignCommit())
        _ = try watched.replica.summary()
        #expect(try !watched.replica.hasForeignCommit())
    }

    @Test func aSnapshotHoldsNothingThatIsNotFolded() throws {
        let watched = try Watched()
        // Written between the fold and the snapshot, as far as a test can: before the flush.
        var isFirst = true
        watched.replica.willExport = { [unowned watched] _, _ in
            guard isFirst else { return }
            isFirst = false
            try watched.app.execute("UPDATE t SET v = 'later'")
        }
        try watched.app.execute("INSERT INTO t VALUES(1, 'a')")
        let delta = try #require(
            try watched.replica.openDelta(base: VersionVector(), resume: nil))
        defer { delta.close() }
        let chunk = try #require(try delta.next())
        _ = try watched.cluster[1].replica.applyWhole(chunk, of: delta.header)
        #expect(try watched.cluster.rows(1, "SELECT v FROM t") == [[.string("a")]])
    }
}

// Scenarios of two or three replicas, without nodes: copies that are taken again, what is forgotten, and what
// no trigger tells.

import CausalModel
import SQLite
import Store
import TestKit
import Values

extension Directed {
    /// Seed 9600282. Between two parts of a copy its source collects a row that the first part brought.
    static func copyGoesOnPastFloor() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["INSERT INTO t VALUES(2, 'b', 'two')", "SELECT 1"])
        let (source, late) = (pair[0], try replica("late", in: folder, 3))
        source.bounds.chunkRowsMax = 1
        _ = try late.adoptSchema(try source.schemaDescription())
        try late.finishScans()
        try late.beginJoining(because: "a scenario")
        let first = try late.summary().vector
        guard let half = try source.openDelta(base: first, resume: nil), let chunk = try half.next()
        else { return ["there is no copy"] }
        _ = try late.apply(chunk, of: half.header)
        half.close()
        try Connection(path: folder.file("zero")).execute("DELETE FROM t")
        try collect(source, after: source)
        guard let point = try late.resumePoint(from: source.origin),
            let rest = try source.openDelta(base: point.base, resume: point)
        else { return ["the copy does not go on"] }
        defer { rest.close() }
        while let chunk = try rest.next() { _ = try late.apply(chunk, of: rest.header) }
        _ = try late.finish(rest.header)
        try late.settleJoining()
        let rows = try Connection(path: folder.file("late")).query("SELECT id FROM t")
        return rows.isEmpty ? [] : ["a copy that went on shows \(rows), which its source collected"]
    }

    /// Seed 9000011. A file that went back issued a change again, and takes another copy: a third has the
    /// change as it was before.
    static func contextsForgotten() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "UPDATE t SET b = 'new'"])
        let (source, late) = (pair[0], pair[1])
        let third = try replica("third", in: folder, 3)
        _ = try third.adoptSchema(try source.schemaDescription())
        try third.finishScans()
        try send(late, third)
        var ended: [Origin] = []
        for _ in 0..<2 {
            ended.append(late.origin)
            late.endedOrigins = ended
            try late.beginJoining(because: "a scenario")
            try send(source, late)
            try late.settleJoining()
            try send(late, source)
        }
        let before = try late.summary()
        try send(third, late)
        let after = try late.summary()
        guard before.vector != after.vector else { return ["the third brought nothing"] }
        return before.digest == after.digest
            ? [] : ["a change contests what it was issued again as"]
    }

    /// A table whose deleted rows say who was removed from a group.
    static func removedForgotten() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "SELECT 1"])
        try pair[0].keepDeletedRows(of: "t")
        try Connection(path: folder.file("zero")).execute("DELETE FROM t")
        try collect(pair[0], after: pair[0])
        return try pair[0].hasKernel(table: "t", key: [.integer(1)])
            ? [] : ["who was removed is forgotten"]
    }

    /// Seed 10010066. A program gives one row the rowid of another, which goes without an entry.
    static func victimsAloneMissed() throws -> [String] {
        let folder = TemporaryDirectory()
        let one = try replica("one", in: folder, 1)
        let app = try Connection(path: folder.file("one"))
        try app.execute("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, a)")
        _ = try one.track(["t"])
        try one.finishScans()
        try app.execute("INSERT INTO t VALUES('a', 1), ('b', 2)")
        try one.fold()
        let before = try one.summary()
        try app.execute("UPDATE OR REPLACE t SET rowid = 1 WHERE id = 'b'")
        let after = try one.summary()
        return after.digest != before.digest && after.vector != before.vector
            ? [] : ["a row went, and nothing was told of it"]
    }
    /// Seed 10070001. Somebody let this replica in, and another one, who had been removed by then: those that
    /// its copy is from know nothing of the other, and have collected without it.
    static func unknownToCopyHeard() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "SELECT 1"])
        let (source, late) = (pair[0], pair[1])
        let lateApp = try Connection(path: folder.file("one"))
        try lateApp.execute("CREATE TABLE members(node TEXT PRIMARY KEY NOT NULL, origin TEXT)")
        _ = try late.track(["members"], policy: .deleteWins)
        try late.finishScans()
        let other = try replica("other", in: folder, 3)
        _ = try other.adoptSchema(try late.schemaDescription())
        try other.finishScans()
        try lateApp.execute("INSERT INTO members VALUES('other', '\(other.origin.hex)')")
        try send(late, other)
        try Connection(path: folder.file("other")).execute("UPDATE t SET a = 'unheard'")
        try other.fold()
        try send(other, late)
        try Connection(path: folder.file("zero")).execute("DELETE FROM t")
        try collect(source, after: source)
        guard !source.floor.isEmpty else { return ["nothing was collected"] }
        late.copiedColumn = ("members", "origin")
        try late.noteAuthor(other.origin, node: "other")
        late.activeOrigins = [source.origin, other.origin]
        try late.beginJoining(because: "a scenario")
        try send(source, late)
        try late.settleJoining()
        try send(late, source)
        let rows = try Connection(path: folder.file("zero")).query("SELECT a FROM t")
        guard rows == [[.string("unheard")]] else { return ["a change is lost: \(rows)"] }
        return source.problems["invariant"].map { [$0] } ?? []
    }

    /// What a replica says of itself is on disk: after a loss of power it has all that it said it had.
    static func statedBeforeDurable() throws -> [String] {
        for seed in UInt64(1)...20 {
            let folder = TemporaryDirectory()
            let (before, after) = (DiskProcess.spawn(), DiskProcess.spawn())
            before.run(at: Simulation.epoch)
            let stated: VersionVector
            do {
                let one = try replica("one", in: folder, seed)
                let app = try Connection(path: folder.file("one"))
                try app.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
                _ = try one.track(["t"])
                try one.finishScans()
                try one.makeDurable()
                // A program that does not wait for the disk.
                try app.execute("PRAGMA synchronous = OFF")
                try app.execute("INSERT INTO t VALUES(1, 'a')")
                stated = try one.summary().vector
                before.kill()
            }
            _ = Disk.losePower(below: folder.file(""), seed: seed)
            after.run(at: Simulation.epoch)
            let again = try replica("one", in: folder, seed + 100)
            guard try again.summary().vector.covers(stated) else {
                return ["a replica said more of itself than what was on disk"]
            }
        }
        return []
    }

    /// Seed 10406740. By the copy a member is evicted, and it says itself that it goes on: those that the
    /// copy is from have collected without it.
    static func evictedByCopyHeard() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "SELECT 1"])
        let (source, late) = (pair[0], pair[1])
        let sourceApp = try Connection(path: folder.file("zero"))
        try sourceApp.execute("CREATE TABLE members(node TEXT PRIMARY KEY NOT NULL, origin TEXT)")
        _ = try source.track(["members"], policy: .deleteWins)
        try source.finishScans()
        try sourceApp.execute("INSERT INTO members VALUES('other', 'before'), ('zero', 'x')")
        let other = try replica("other", in: folder, 3)
        for node in [late, other] {
            _ = try node.adoptSchema(try source.schemaDescription())
            try node.finishScans()
            try send(source, node)
        }
        let otherApp = try Connection(path: folder.file("other"))
        try sourceApp.execute("UPDATE members SET origin = '' WHERE node = 'other'; DELETE FROM t")
        try otherApp.execute(
            "UPDATE members SET origin = '\(other.origin.hex)' WHERE node = 'other'")
        try otherApp.execute("UPDATE t SET a = 'unheard'")
        try source.fold()
        try other.fold()
        try send(source, late)
        try send(other, late)
        try collect(source, after: source)
        guard !source.floor.isEmpty else { return ["nothing was collected"] }
        late.copiedColumn = ("members", "origin")
        try late.noteAuthor(source.origin, node: "zero")
        try late.noteAuthor(other.origin, node: "other")
        late.activeOrigins = [source.origin, other.origin]
        try late.beginJoining(because: "a scenario")
        try send(source, late)
        try late.settleJoining()
        try send(late, source)
        let rows = try sourceApp.query("SELECT a FROM t")
        guard rows == [[.string("unheard")]] else { return ["a change is lost: \(rows)"] }
        return source.problems["invariant"].map { [$0] } ?? []
    }

    /// Seed 10412893. A replica has inserted a row of the list anew, and another has changed that since; the
    /// copy says of it as it was before that it has joined.
    static func believedLeftBehind() throws -> [String] {
        let folder = TemporaryDirectory()
        let anew = "DELETE FROM t; INSERT INTO t VALUES(1, 'anew', NULL)"
        let pair = try pair(.addWins, folder, ["UPDATE t SET b = 'joined'", anew])
        let late = pair[1]
        let third = try replica("third", in: folder, 3)
        _ = try third.adoptSchema(try late.schemaDescription())
        try third.finishScans()
        try send(late, third)
        try Connection(path: folder.file("third")).execute("UPDATE t SET b = 'joined'")
        try third.fold()
        late.copiedColumn = ("t", "b")
        late.endedOrigins = [late.origin]
        try late.beginJoining(because: "a scenario")
        try send(pair[0], late)
        try late.settleJoining()
        for _ in 0..<2 {
            try send(late, third)
            try send(third, late)
        }
        let rows = try ["one", "third"].map {
            try Connection(path: folder.file($0)).query("SELECT a, b FROM t")
        }
        let wanted: [[Value]] = [[.string("anew"), .string("joined")]]
        return rows == [wanted, wanted] ? [] : ["a row is of two lives at once: \(rows)"]
    }

    /// Seed 10071049. The word of an earlier life goes for that of the copy: whoever has both hears of it.
    static func believedGoneUnsaid() throws -> [String] {
        let folder = TemporaryDirectory()
        let names = ["source", "late", "third"]
        var apps: [Connection] = []
        var replicas: [Replica] = []
        for (index, name) in names.enumerated() {
            let one = try replica(name, in: folder, UInt64(index + 1))
            apps.append(try Connection(path: folder.file(name)))
            try apps[index].execute("CREATE TABLE t(node TEXT PRIMARY KEY NOT NULL, origin)")
            _ = try one.track(["t"])
            try one.finishScans()
            replicas.append(one)
        }
        let (source, late, third) = (replicas[0], replicas[1], replicas[2])
        try apps[0].execute("INSERT INTO t VALUES('late', ''), ('third', 'joined')")
        for other in [late, third] { try send(source, other) }
        try apps[1].execute("UPDATE t SET origin = 'believed' WHERE node = 'late'")
        try send(late, third)
        // The delete takes the row from the word, and leaves its value.
        try apps[2].execute("DELETE FROM t WHERE node = 'late'")
        try third.fold()
        try send(third, late)
        try apps[0].execute("UPDATE t SET origin = 'copied' WHERE node = 'late'")
        try source.fold()
        try send(source, third)
        late.copiedColumn = ("t", "origin")
        try late.noteAuthor(third.origin, node: "third")
        late.activeOrigins = [source.origin, third.origin]
        late.endedOrigins = [late.origin]
        try late.beginJoining(because: "a scenario")
        try send(source, late)
        try late.settleJoining()
        for _ in 0..<2 {
            try send(late, third)
            try send(third, late)
        }
        let (one, two) = (try late.summary(), try third.summary())
        guard one.vector == two.vector else { return ["they do not tell each other all"] }
        return one.digest == two.digest ? [] : ["a word that went is gone in one place alone"]
    }
}

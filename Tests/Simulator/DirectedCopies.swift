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
}

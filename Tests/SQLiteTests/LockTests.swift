// Waiting for another connection's write lock: it is waited for as long as was said, and no longer.

import SQLite
import TestKit
import Testing

@Suite struct LockTests {
    private static func pair(waiting milliseconds: Int32) throws -> (
        folder: TemporaryDirectory, holder: Connection, other: Connection
    ) {
        let folder = TemporaryDirectory()
        let holder = try Connection(path: folder.file("a.db"))
        try holder.execute("PRAGMA journal_mode = WAL; CREATE TABLE t(x)")
        let other = try Connection(
            path: folder.file("a.db"), busyTimeoutMilliseconds: milliseconds)
        return (folder, holder, other)
    }

    /// Past the doubling of the steps, and through their last, shorter one.
    @Test(arguments: [0, 1, 7, 33] as [Int32])
    func aLockThatStaysIsAnErrorInTheEnd(milliseconds: Int32) throws {
        let (folder, holder, other) = try Self.pair(waiting: milliseconds)
        defer { withExtendedLifetime(folder) {} }
        try holder.execute("BEGIN IMMEDIATE")
        let error = #expect(throws: SQLiteError.self) { try other.execute("BEGIN IMMEDIATE") }
        #expect(error?.isBusy == true)
        try holder.execute("COMMIT")
        try other.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1); COMMIT")
    }

    @Test func aLockThatGoesIsWaitedFor() async throws {
        let (folder, holder, _) = try Self.pair(waiting: 60_000)
        defer { withExtendedLifetime(folder) {} }
        try holder.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)")
        let path = folder.file("a.db")
        async let written: Int64? = Self.write(path)
        // Most often the other waits by now; the outcome is the same when it does not yet.
        await Task.yield()
        try holder.execute("COMMIT")
        #expect(try await written == 2)
    }

    private static func write(_ path: String) async throws -> Int64? {
        let writer = try Connection(path: path, busyTimeoutMilliseconds: 60_000)
        try writer.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(2); COMMIT")
        return try writer.integer("SELECT count(*) FROM t")
    }

    @Test func rowsThatWereWrittenAreCounted() throws {
        let (folder, holder, _) = try Self.pair(waiting: 0)
        defer { withExtendedLifetime(folder) {} }
        let before = holder.totalChanges
        try holder.execute("INSERT INTO t VALUES(1), (2); UPDATE t SET x = 3; SELECT 1 FROM t")
        #expect(holder.totalChanges == before + 4)
    }
}

// The write-ahead log beside the file: moved into it where that is safe, and kept short. And the memory
// that copies of pages take.

internal import SQLite
internal import Values

extension Replica {
    /// Moves the WAL into the database when that is safe: this connection holds the write lock
    /// meanwhile, so that no other connection writes or checkpoints at the same moment (the
    /// WAL-reset race of SQLite up to 3.51.2). A WAL that has grown large is cut afterwards.
    package func checkpointIfSafe() throws {
        try translated {
            let reader = try readerForCheckpoint()
            // A checkpoint flushes the WAL first. After a burst that takes long: better before programs
            // have to wait for it.
            if try unflushedVersion() != nil {
                try connection.syncFiles(includesDatabase: false)
            }
            connection.setBusyTimeout(milliseconds: 0)
            defer { connection.setBusyTimeout(milliseconds: busyMilliseconds) }
            do {
                try connection.execute("BEGIN IMMEDIATE")
                let done: Connection.Checkpoint
                do {
                    defer { try? connection.execute("COMMIT") }
                    done = try reader.checkpoint()
                }
                if done.movedPages == done.logPages { try cutLog() }
            } catch let error as SQLiteError where error.isBusy { return }
        }
    }

    /// Cuts a WAL of which all is in the database: SQLite reuses the file, and never shortens it by itself. A
    /// copy of rows with random keys makes one of ten times their size.
    ///
    /// The next write begins it anew, if no program reads from it at that moment; then it is tried again
    /// later, since each attempt is a write.
    private func cutLog() throws {
        guard try connection.logBytes() > bounds.logBytesMax else {
            checkpointsUntilCut = 0
            return
        }
        guard checkpointsUntilCut == 0 else {
            checkpointsUntilCut -= 1
            return
        }
        checkpointsUntilCut = Limits.checkpointsBetweenCuts
        try connection.execute("PRAGMA journal_size_limit = \(bounds.logBytesMax)")
        needsSync = true
        // An UPDATE to the same value would write nothing.
        try Bookkeeping.setMeta("cut", .integer(environment.wallClock()), in: connection)
    }

    private func readerForCheckpoint() throws -> Connection {
        if let checkpointer { return checkpointer }
        let fresh = try Connection(
            path: path, mode: .readWrite, busyTimeoutMilliseconds: 0)
        try fresh.execute("PRAGMA wal_autocheckpoint = 0")
        _ = try fresh.integer("SELECT count(*) FROM _starling_meta")
        checkpointer = fresh
        return fresh
    }

    /// Gives back the memory of pages that are only copies of what is in the file. They are read again
    /// when they are needed, as they are anyway once another program has committed.
    package func releaseMemory() {
        for each in [connection] + readers { each.shrinkMemory() }
        checkpointer?.shrinkMemory()
    }
}

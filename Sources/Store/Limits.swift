// Every limit of the store, with its unit last in the name.

/// Bounds that keep transactions short and memory small.
package enum Limits {
    /// Journal entries folded in one write transaction.
    package static let foldEntriesMax = 2_000
    /// Rows looked at in one write transaction of a scan.
    package static let scanRowsMax = 2_000
    /// Deleted rows looked at in one write transaction of a collection.
    package static let collectRowsMax = 1_000
    /// Rows in one chunk of a delta; one chunk is one write transaction of the receiver.
    package static let chunkRowsMax = 1_500
    /// Bytes of a chunk after which no further row is added. One row may be larger.
    package static let chunkBytesMax = 256 * 1024
    /// Parked rows of a table above which they are looked at only when a delta ends.
    package static let parkedEagerMax = 1_000
    /// Rows whose constraints wait for an empty journal, above which all rows are looked at
    /// instead.
    package static let putOffRowsMax = 10_000
    /// Bytes of a WAL that may stay beside the file once its pages are in the database.
    package static let logBytesMax = 16 << 20
    /// Checkpoints, one every two seconds, between two attempts to cut it while programs read from it.
    package static let checkpointsBetweenCuts = 30
    /// The bounds that a replica works with; tests make them tiny.
    package struct Bounds: Sendable {
        package var foldEntriesMax = Limits.foldEntriesMax
        package var scanRowsMax = Limits.scanRowsMax
        package var collectRowsMax = Limits.collectRowsMax
        package var chunkRowsMax = Limits.chunkRowsMax
        package var chunkBytesMax = Limits.chunkBytesMax
        package var parkedEagerMax = Limits.parkedEagerMax
        package var logBytesMax = Limits.logBytesMax
        package var tablesMax = Limits.tablesMax

        package init() {}
    }

    /// Milliseconds that a call waits for another program's write lock.
    package static let busyMilliseconds: Int32 = 2_000
    /// The same on the loop of a running node, which has others to answer.
    package static let busyOnLoopMilliseconds: Int32 = 40
    /// Milliseconds by which a received stamp may move the clock beyond the wall clock.
    package static let clockAheadMilliseconds: Int64 = 60_000
    /// Writes in one kernel that is received.
    package static let kernelWritesMax = 10_000
    /// Columns of one table, as SQLite's own limit.
    package static let columnsMax = 2_000
    /// Tables in one received description, and tables that peers may make known here.
    package static let tablesMax = 10_000
    /// Origins in the vector, beyond which nothing of a peer is taken. What the wire allows is a
    /// thousand more, for the origins that this replica itself may still need.
    package static let vectorOriginsMax = 49_000
    /// Origins that are known by name, those of rows that were replaced since among them.
    package static let originsMax = 200_000
    /// Earlier origins that a replica remembers to have gone on from.
    package static let continuedOriginsMax = 16
    /// Attempts to join, each with changes of programs, that may fail one after the other.
    package static let abandonedOriginsMax = 250
    /// Problems that are kept for `status`, and authors whose clock is wrong.
    package static let problemsMax = 64
    /// A number that no honest replica reaches.
    package static let numberMax: UInt64 = 1 << 60
}

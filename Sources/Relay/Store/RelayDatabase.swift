// What the relay needs of a database engine: a few statements in transactions. The store is written once
// on top of it; SQLite and PostgreSQL are two engines of this protocol.

package import Values

/// A database that holds a relay's log. Parameters are written `$1`, `$2` … in the order of their first
/// use, which both engines understand.
package protocol RelayDatabase: Sendable {
    /// A connection for one thread, its schema up to date.
    ///
    /// - Throws: ``RelayError`` of reason `unavailable` when the database cannot be reached now.
    func connect() throws -> any RelaySession

    /// How many threads append, and how many read.
    var writerCount: Int { get }
    var readerCount: Int { get }
    /// How many requests a writer commits together.
    var commitCountMax: Int { get }

    /// Makes what tells other processes of this database about an append; nil when there are none, or they
    /// have to look by themselves.
    func bell() -> (any RelayBell)?
    /// How often to look for appends of other processes while no bell is heard, in milliseconds.
    var pollMilliseconds: Int { get }
}

/// One connection of one thread.
package protocol RelaySession: AnyObject {
    func query(_ sql: String, _ values: [Value]) throws -> [[Value]]
    /// - Returns: how many rows it changed.
    @discardableResult func run(_ sql: String, _ values: [Value]) throws -> Int
    /// The same statement for each row of values; no result.
    func runEach(_ sql: String, _ rows: [[Value]]) throws
    /// The same query for each row of values; the first row of each result.
    func firstOfEach(_ sql: String, _ rows: [[Value]]) throws -> [[Value]?]
    /// Commits what `body` did, durably; an error rolls it back. A transaction inside another can fail on
    /// its own.
    func transaction<Result>(_ body: () throws -> Result) throws -> Result
    /// What locks the row of a query until the transaction ends: `FOR UPDATE`, or nothing.
    var lockingClause: String { get }
    /// Whether a commit that failed may have lost the connection: the worker makes another.
    var isBroken: Bool { get }
}

/// Tells other processes of the same database that groups have new entries, and hears them.
package protocol RelayBell: AnyObject, Sendable {
    /// Starts to listen.
    ///
    /// - Parameter heard: called on a thread of the bell with the groups that others appended to.
    func start(_ heard: @escaping @Sendable ([Int64]) -> Void) throws
    /// Returns at once; others hear it some milliseconds later.
    func ring(_ group: Int64)
    /// Whether the bell is heard at present; when not, the relay has to poll.
    var isHeard: Bool { get }
    /// Waits until its threads have ended.
    func stop()
}

extension Value {
    var number: Int64 {
        if case .integer(let number) = self { return number }
        return 0
    }

    var blobBytes: [UInt8]? {
        if case .blob(let bytes) = self { return bytes }
        return nil
    }
}

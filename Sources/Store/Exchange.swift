// What a session and a store say to each other: summaries, deltas, positions. Plain values, and the
// protocol through which `Sync` drives a replica.

package import CausalModel
package import Codec

/// What a replica says of itself in a handshake or a statement. Durable when it is handed out.
package struct ReplicaSummary: Sendable, Equatable {
    /// The origin under which this replica numbers its own changes now.
    package var origin: Origin
    package var vector: VersionVector
    /// True when no live dot lies beyond the vector.
    package var isWhole: Bool
    /// A hash of the live dots beyond the vector; 0 when whole.
    package var beyondHash: UInt64
    /// Over all synced content but deleted rows; comparable between whole replicas with equal vectors.
    package var digest: UInt64
    /// Over the structures of all tables the replica knows.
    package var schemaFingerprint: UInt64
    /// What was collected here. Who has not seen all of it is out of date.
    package var floor: VersionVector
    /// The replica waits for its copy; its vector is what the copy has brought.
    package var isJoining: Bool
    /// Rows of a removed node are half received here and not issued again yet: this does not count as a
    /// statement about its removal.
    package var hasUnsettled: Bool

    package init(
        origin: Origin, vector: VersionVector, isWhole: Bool, beyondHash: UInt64, digest: UInt64,
        schemaFingerprint: UInt64, floor: VersionVector = VersionVector(), isJoining: Bool = false,
        hasUnsettled: Bool = false
    ) {
        self.isJoining = isJoining
        self.hasUnsettled = hasUnsettled
        self.origin = origin
        self.vector = vector
        self.isWhole = isWhole
        self.beyondHash = beyondHash
        self.digest = digest
        self.schemaFingerprint = schemaFingerprint
        self.floor = floor
    }
}

/// A place in the order in which a delta sends rows: by origin bytes, then number.
package struct DeltaPosition: Sendable, Hashable {
    package var dot: Dot
    package init(dot: Dot) { self.dot = dot }
}

/// What a delta is about; sent before its first chunk.
package struct DeltaHeader: Sendable, Equatable {
    /// The sender's origin when the snapshot was taken.
    package var source: Origin
    /// Values of dots that this vector covers are left out: a receiver below it refuses the delta.
    package var base: VersionVector
    /// The sender's vector in the snapshot that the rows are read from; END moves the receiver to
    /// it.
    package var snapshot: VersionVector
    /// Rows and bytes to come, for progress; bytes are an estimate.
    package var rows: Int
    package var bytes: Int
    /// As in ``ReplicaSummary``, at the moment of the snapshot.
    package var hasUnsettled = false
    /// It has all rows beyond the base: no broken transfer goes on with it.
    package var isFromStart = false
    /// Of a copy, which is a delta from nothing: what was collected at the sender, so that no row of the copy
    /// says that it is deleted. Empty in any other.
    package var floor = VersionVector()
    /// Of a copy that comes with the log of a relay: the snapshot that its first rows were from. Of others
    /// the store remembers it.
    package var began: VersionVector?

    package init(
        source: Origin, base: VersionVector, snapshot: VersionVector, rows: Int, bytes: Int
    ) {
        self.source = source
        self.base = base
        self.snapshot = snapshot
        self.rows = rows
        self.bytes = bytes
    }
}

/// A run of rows of one delta, self-contained: names and origins are in its own dictionary.
package struct DeltaChunk: Sendable, Equatable {
    package var body: [UInt8]
    package var rows: Int
    /// The position of its last row.
    package var position: DeltaPosition
    /// No row follows; END may.
    package var isLast: Bool

    package init(body: [UInt8], rows: Int, position: DeltaPosition, isLast: Bool) {
        self.body = body
        self.rows = rows
        self.position = position
        self.isLast = isLast
    }
}

/// Where a broken transfer stands; kept by the receiver in the transaction of each chunk.
package struct ResumePoint: Sendable, Equatable {
    package var source: Origin
    package var receiver: Origin
    package var base: VersionVector
    package var snapshot: VersionVector
    package var position: DeltaPosition
    /// Of a copy: the snapshot that its first rows are from. Who waits for a copy has stated nothing: while
    /// the list does not say that it has joined, the source collects without it.
    package var began: VersionVector?

    package init(
        source: Origin, receiver: Origin, base: VersionVector, snapshot: VersionVector,
        position: DeltaPosition, began: VersionVector? = nil
    ) {
        self.began = began
        self.source = source
        self.receiver = receiver
        self.base = base
        self.snapshot = snapshot
        self.position = position
    }
}

/// An outgoing delta: one read snapshot of a file, read chunk by chunk.
package protocol DeltaSource: AnyObject {
    var header: DeltaHeader { get }
    /// The next rows; nil after the last.
    func next() throws -> DeltaChunk?
    /// Gives the snapshot back; called once, whether the delta was read to its end or not.
    func close()
}

/// What an apply did.
package struct ApplyOutcome: Sendable, Equatable {
    package var rows: Int
    /// The vector moved, rows were shown or hidden, or a conflict came or went.
    package var hasChanged: Bool
    /// The rows had numbers of the replica's own origin that it never gave: it has another one now.
    package var hasEndedOrigin: Bool

    package init(rows: Int, hasChanged: Bool, hasEndedOrigin: Bool = false) {
        self.rows = rows
        self.hasChanged = hasChanged
        self.hasEndedOrigin = hasEndedOrigin
    }
}

/// The latest statement of one peer, as it was noted.
package struct PeerStatement: Sendable, Equatable {
    package var node: String
    package var name: String
    package var vector: VersionVector
    /// What it numbered under then; nil when that was not noted.
    package var origin: Origin?
    /// When it was heard, in Unix time; 0 when it was never met.
    package var seenMilliseconds: Int64
    /// How long ago that is, by this machine's clock.
    package var ageMilliseconds: Int64

    package init(
        node: String, name: String, vector: VersionVector, origin: Origin?,
        seenMilliseconds: Int64, ageMilliseconds: Int64
    ) {
        self.node = node
        self.name = name
        self.vector = vector
        self.origin = origin
        self.seenMilliseconds = seenMilliseconds
        self.ageMilliseconds = ageMilliseconds
    }
}

/// The store as a session needs it. Calls are synchronous and short (tens of milliseconds).
///
/// Errors are `StoreError`; a busy database is one with `isRetryable`: try again shortly.
package protocol SyncReplica: AnyObject {
    /// Folds what programs wrote, makes it durable, and says where the replica stands.
    func summary() throws -> ReplicaSummary

    /// The same while rows are on their way here: `beyondHash` may be that of an earlier call. It changes
    /// with every chunk, costs a look at all rows beyond the vector, and is of no use before their delta
    /// has ended or broken off.
    func summary(whileReceiving: Bool) throws -> ReplicaSummary

    /// A delta of what lies beyond `base`, from one snapshot; nil when there is nothing to send.
    ///
    /// With a resume point of this replica's own earlier delta, rows that were sent already are
    /// skipped; a point that does not fit (other origins, another base) starts afresh.
    func openDelta(base: VersionVector, resume: ResumePoint?) throws -> (any DeltaSource)?

    /// Where a broken transfer from `source` stands; nil when none does.
    func resumePoint(from source: Origin) throws -> ResumePoint?

    /// Joins one chunk. The vector does not move; the position is kept in the same transaction.
    func apply(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome

    /// Ends a delta: moves the vector to the join with `header.snapshot`.
    func finish(_ header: DeltaHeader) throws -> ApplyOutcome

    /// A delta of one chunk, joined and ended in one transaction: it appears whole.
    func applyWhole(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome

    /// The structures of all known tables, to be sent as they are.
    func schemaDescription() throws -> CBOR

    /// Takes up tables and columns that this replica lacks; returns true when anything changed.
    func adoptSchema(_ description: CBOR) throws -> Bool

    /// Remembers the latest statement of a peer, so that `records` can say who has what.
    func noteStatement(
        of peer: String, name: String, origin: Origin, vector: VersionVector
    ) throws

    /// The latest statements that were noted, by node id. Complexity: O(peers × origins).
    func peerStatements() throws -> [PeerStatement]

    /// Remembers what somebody else has heard of a member, unless more was heard of it here.
    ///
    /// - Parameters:
    ///   - vector: nil when only the time counts.
    ///   - ageMilliseconds: how long ago it was heard.
    /// - Returns: whether its vector is new.
    func noteReport(
        of node: String, name: String, origin: Origin, vector: VersionVector?,
        ageMilliseconds: Int64
    ) throws -> Bool

    /// Whether any deleted row is kept for others. Complexity: O(1).
    var hasDeletedRows: Bool { get throws }

    /// Whether a peer says less than it said before under the same origin: its file went back.
    func hasGoneBack(_ peer: String, origin: Origin, vector: VersionVector) throws -> Bool

    /// A peer knows numbers of our origin that we never gave out, or another live replica uses it:
    /// continue under a new origin.
    func takeNewOrigin(because reason: String) throws

    /// The replica waits for a copy, and rows of one have come: what the file says of the group may be a half
    /// of the truth. As of now, not of the last summary.
    var hasCopyBegun: Bool { get }

    /// Origins of which nothing more is taken, by the list of members.
    var removedOrigins: [Origin] { get }

    /// Earlier origins of this replica.
    var endedOrigins: [Origin] { get }

    /// Whether a live change of this number is here, received half or whole. Complexity: O(log rows).
    func holds(_ dot: Dot) -> Bool

    /// Its copy is whole, and what that did not bring is looked at.
    var isSettling: Bool { get }

    /// While it waits: the vector that its rows of before have seen, or that of the copy once it is whole.
    var joiningVector: VersionVector? { get }

    /// Earlier origins since which this replica has forgotten nothing, the last one first.
    var continuedOrigins: [Origin] { get }

    /// Forgets what this replica claimed to know, and waits for a copy under a new origin.
    func beginJoining(because reason: String, isBehind: Bool) throws

    /// Decides on the rows that a copy did not bring, and ends the wait for it; nothing else happens
    /// when no copy has ended. Complexity: O(rows).
    func settleJoining() throws

    /// Stops waiting for a copy: the group goes on from this file.
    func endJoiningAlone() throws

    /// Issues again what is known only of an origin that this replica lost; see ``Replica``.
    ///
    /// - Parameters:
    ///   - live: origins that others write under now, which are not lost.
    ///   - unknown: origins of nobody known, which are.
    /// - Returns: how many rows it was; 0 when nothing is left to do.
    func reissueLost(except live: Set<Origin>, unknown: [Origin]) throws -> Int

    /// Origins with rows beyond the vector of which nobody has said whose they are. Complexity: O(origins).
    func unknownOrigins() throws -> [Origin]

    /// Lets deleted rows go that every member has seen, in one short transaction; see ``Replica``.
    func collect(_ group: StabilityGroup) throws -> CollectOutcome
}

// Every bound and every delay of the session layer in one place.

/// Milliseconds of one steady clock that the caller reads; nothing in this module reads a clock.
package typealias Milliseconds = Int64

package enum SyncLimits {
    // MARK: Flow
    /// Chunks that may be on the way and not yet applied.
    package static let creditWindow = 4
    /// No chunk is read from the store while more bytes than this wait in a link.
    package static let queueHighWaterBytes = 512 * 1024
    /// A read snapshot is given back after this long; the delta goes on from a newer one.
    package static let sourceHeldMilliseconds: Milliseconds = 10_000
    package static let inboxMessagesMax = 1024
    package static let inboxBytesMax = 320 * 1024 * 1024
    /// Messages in one second; beyond it the peer is cut off.
    package static let messagesPerSecondMax = 20_000

    // MARK: Liveness
    package static let helloMilliseconds: Milliseconds = 5_000
    package static let stateMilliseconds: Milliseconds = 60_000
    package static let pingMilliseconds: Milliseconds = 10_000
    package static let deadMilliseconds: Milliseconds = 30_000
    package static let probeMilliseconds: Milliseconds = 2_000
    /// A wake-up later than planned by this much is a jump of the clock or a machine that slept.
    package static let clockJumpMilliseconds: Milliseconds = 5_000

    // MARK: Timing of the live stream
    /// Changes within this time join one delta; the first one leaves at once.
    package static let pushGapMilliseconds: Milliseconds = 2
    package static let statementDelayMilliseconds: Milliseconds = 10
    package static let noteGapMilliseconds: Milliseconds = 50
    /// Changes of others wait, so that who has them already can say so first.
    package static let forwardDelayMilliseconds: Milliseconds = 30
    package static let forwardJitterMilliseconds: Milliseconds = 30
    package static let pullStuckMilliseconds: Milliseconds = 10_000
    /// How often a session looks whether it has fallen behind unnoticed.
    package static let checkMilliseconds: Milliseconds = 30_000

    /// Nothing moves for this long although rows lie beyond every vector: nobody brings the rest.
    package static let stillMilliseconds: Milliseconds = 30_000
    /// The same where nobody knows whose rows they are: the word about a new member may come later than its
    /// rows.
    package static let unknownMilliseconds: Milliseconds = 300_000

    /// Deleted rows are looked at at most this often, and slice by slice when many can go.
    package static let collectGapMilliseconds: Milliseconds = 5_000
    package static let collectSliceMilliseconds: Milliseconds = 20
    /// How often peers are asked where members stand that are not linked: sooner while deleted rows wait for
    /// them and something is learned.
    package static let askMilliseconds: ClosedRange<Milliseconds> = 60_000...3_600_000
    /// Between two answers to one peer.
    package static let answerMilliseconds: Milliseconds = 5_000

    // MARK: Store
    /// For so long after a commit of a program on this machine it is taken to write.
    package static let programMilliseconds: Milliseconds = 10_000
    /// How long the file is left to programs between two chunks, at most.
    package static let turnMillisecondsMax: Milliseconds = 50
    package static let storeRetryMilliseconds: ClosedRange<Milliseconds> = 5...200
    package static let storeTroubleMilliseconds: Milliseconds = 1_000
    /// How long a peer that took part may seem not to: it has another origin, and says so soon.
    package static let standingGraceMilliseconds: Milliseconds = 2_000
    /// For so long after a copy a list that does not say that this replica takes part is not believed.
    package static let disbeliefMilliseconds: ClosedRange<Milliseconds> = 1_000...300_000
    /// How long who is out of date for one peer waits for that one to serve the copy.
    package static let copyWantedMilliseconds: Milliseconds = 10_000
    /// The same for a copy that comes with the log of a relay.
    package static let logCopyWantedMilliseconds: Milliseconds = 60_000
    /// Between saying that the group may go on from this file, and doing it.
    package static let leadGraceMilliseconds: Milliseconds = 2_000
    /// Between two notes that one peer has joined, and between looks at one's own standing after one.
    package static let joinGapMilliseconds: Milliseconds = 1_000

    // MARK: Peers
    /// Two dials of one pair within this time are crossing.
    package static let crossingMilliseconds: Milliseconds = 5_000
    package static let sessionsMax = 256
    package static let peersMax = 4_096
    package static let addressesMax = 16
    package static let dialsMax = 16
    /// An announcement that changes resets the back-off at most so often: anybody can make one.
    package static let newsGapMilliseconds: Milliseconds = 5_000
    package static let retiredRunsMax = 16
    package static let backoffFirstMilliseconds: Milliseconds = 1_000
    package static let backoffMaxMilliseconds: Milliseconds = 15 * 60_000
    package static let backoffJitterMilliseconds: Milliseconds = 1_000
    /// A connection that held this long ends a series of failures.
    package static let stableMilliseconds: Milliseconds = 10_000
    /// The side with the greater id waits this long before it dials a peer just found, so that
    /// dials seldom cross.
    package static let politenessMilliseconds: Milliseconds = 250
    /// Up to this many peers everybody talks to everybody.
    package static let fullMeshMax = 8
    package static let ringNeighbours = 2
    package static let randomNeighbours = 2
    /// New origins taken because one peer knew more of ours than we do; beyond it the peer is
    /// lying.
    package static let originChangesMax = 3
    /// So often within this time a peer may send a replica for a copy.
    package static let sentForCopyWindowMilliseconds: Milliseconds = 10 * 60_000
}

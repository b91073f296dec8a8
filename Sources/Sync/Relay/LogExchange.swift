// What the forwarder and its surroundings say to each other: requests and answers, entries sealed and
// opened, refusals and what they are called. Plain values.

package import RelayProtocol

/// What the forwarder wants of the relay. It is sent as it is, again and again until it is answered.
package struct LogRequest: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case sync(after: LogPosition?, waitSeconds: Int, entries: [LogEntry])
        case getSnapshot(previous: Bool)
        case putSnapshot(covers: LogPosition, bytes: [UInt8])
    }

    package let id: UInt64
    package let kind: Kind

    /// It may last as long as the relay has nothing to tell.
    package var isWaiting: Bool {
        if case .sync(_, let seconds, _) = kind { return seconds > 0 }
        return false
    }

    /// It brings something to the relay.
    package var isUpload: Bool {
        switch kind {
        case .sync(_, _, let entries): !entries.isEmpty
        case .putSnapshot: true
        case .getSnapshot: false
        }
    }
}

package enum LogReply: Sendable, Equatable {
    case synced(SyncAnswer)
    /// nil: there is none.
    case snapshot(covers: LogPosition, bytes: [UInt8])
    case stored
    /// The relay gave a reason that the forwarder can do something about.
    case refused(Reason)
    /// No answer, or none that helps: the same is asked again later.
    case failed
}

/// What an entry is for; it cannot be taken for another.
package enum LogPurpose: Sendable, Hashable { case message, grants, snapshot }

/// Why an entry changed nothing.
package enum LogRefusal: String, Sendable, CaseIterable {
    // Said by who opens it.
    case unknownVersion = "unknown_version"
    case foreign, tampered, malformed
    case tooLarge = "too_large"
    /// Sealed with a key that this node does not have (yet).
    case unknownEpoch = "unknown_epoch"
    /// Of nobody who is known here (yet).
    case stranger
    /// Of a member that was removed.
    case removed
    // Said by who reads it.
    /// Of a member that may not write.
    case reader
    case replayed
    /// A part before it is missing.
    case gap
    /// It leaves out what this node does not have.
    case belowBase = "below_base"
    /// Its author and this node have forgotten different things.
    case outdated
    /// The relay answered with what was never asked of it.
    case unasked
    /// The relay took it and does not show it.
    case vanished
    /// The log was another, or went back.
    case wentBack = "went_back"
    case conflict
}

package enum LogOpening: Sendable {
    case opened(author: String, message: [UInt8])
    case refused(LogRefusal)
}

/// Seals what goes into the log, and opens what comes out of it.
package protocol LogSeal: AnyObject {
    func seal(_ message: [UInt8], purpose: LogPurpose, key: [UInt8]) throws -> [UInt8]
    func open(_ entry: LogEntry, purposes: Set<LogPurpose>) -> LogOpening
}

/// Every bound and delay of the forwarder.
package struct ForwarderLimits: Sendable {
    /// Of one request; less once a relay has refused so much.
    package var batchBytesMax = 4 * 1024 * 1024
    package var batchEntriesMax = 512
    package var waitSeconds = 55
    /// So many changes wait before urgent ones go first: a few leave in one request.
    package var urgentChangesMin: UInt64 = 256
    /// Between two transfers, once ``appendsMax`` left without a pause: each wakes every reader, and a relay
    /// counts requests. 0: none.
    package var appendMilliseconds: Milliseconds = 0
    package var appendsMax = 40
    /// What others wrote waits for them to append it themselves.
    package var othersMilliseconds: ClosedRange<Milliseconds> = 1_000...3_000
    /// A transfer of somebody else that brings all is waited for, while it moves.
    package var staleMilliseconds: Milliseconds = 60_000
    /// Between what is missing and asking for it; then twice as long each time, up to the end.
    package var wantMilliseconds: ClosedRange<Milliseconds> = 1_000...(15 * 60_000)
    package var lackMilliseconds: Milliseconds = 30_000
    /// Between two words of a member that waits for a copy; each time twice as long.
    package var askMilliseconds: ClosedRange<Milliseconds> = 5_000...(15 * 60_000)
    /// Before a member offers one: others may do so first.
    package var offerMilliseconds: ClosedRange<Milliseconds> = 100...2_000
    /// So often in a row the log may turn out to be another without a pause.
    package var setbacksMax = 3
    /// Before the first statement of a process, and between two of the group, at the most.
    package var standingMilliseconds: ClosedRange<Milliseconds> = (60_000)...(6 * 3_600_000)
    /// Before a member whose vector has moved says so, while deleted rows wait for that.
    package var collectMilliseconds: Milliseconds = 30 * 60_000
    /// A member says so now and then all the same: one that is never heard of counts as away.
    package var silenceMilliseconds: Milliseconds = 7 * 86_400_000
    /// Between tries to append what the relay took and does not show.
    package var vanishedMilliseconds: ClosedRange<Milliseconds> = 1_000...(15 * 60_000)
    /// How long a node that stands by appends itself, when what others append is not taken somewhere.
    package var standInMilliseconds: Milliseconds = 10 * 60_000
    /// Between looks of a node that stands by.
    package var standbyMilliseconds: Milliseconds = 5 * 60_000
    /// A log beyond both is worth a snapshot, and beyond twice what a snapshot would have.
    package var snapshotEntriesMin = 1_000
    package var snapshotBytesMin = 8 * 1024 * 1024
    /// No larger snapshot is made or taken: it is held in memory.
    package var snapshotBytesMax = 256 * 1024 * 1024
    package var snapshotJitterMilliseconds: Milliseconds = 60_000
    package init() {}
}

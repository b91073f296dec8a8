// One connection with all that the engine keeps for it: the state machine, what waits to be
// processed, the delta that is being sent.

internal import CausalModel
internal import Codec
internal import Store
internal import Wire

/// How far the request for a peer's rows has got.
enum PullState: Equatable {
    /// Not asked yet: waits for its turn.
    case waiting
    /// Asked; rows or a statement are to come.
    case requested
    case done
}

/// A delta that is being sent.
struct Outgoing {
    let source: any DeltaSource
    let header: DeltaHeader
    let openedAt: Milliseconds
    /// The position from which this source was opened.
    let resume: ResumePoint?
    var isBegun = false
    var isContinuation = false
    /// The last chunk that was sent.
    var position: DeltaPosition?
    var rowsDone = 0
}

/// A delta whose snapshot was given back before its end.
struct Interrupted {
    var base: VersionVector
    var resume: ResumePoint?
    /// The origin that numbered the rows sent so far; the receiver knows the delta under it.
    var source: Origin
    var isBegun: Bool
    var rowsDone: Int
}

/// The engine's record of one link.
final class PeerLink {
    let id: LinkID
    let link: any Link
    let address: PeerAddress?
    /// The node whose key the other side has proved.
    let authenticated: String?
    var session: Session
    var assembler = MessageAssembler()

    // Incoming.
    var inbox: [Message] = []
    var inboxBytes = 0
    var pending: [Effect] = []
    /// The store was busy: nothing is processed before.
    var blockedUntil: Milliseconds?
    /// When the work began of which a chunk in the middle of a delta was the last.
    var storingAt: Milliseconds?
    var retryDelay = SyncLimits.storeRetryMilliseconds.lowerBound
    /// There is work, but others had to have their turn first.
    var hasMore = false
    var pull = PullState.waiting
    var progressAt: Milliseconds
    var checkAt: Milliseconds

    // Outgoing.
    var outgoing: Outgoing?
    var interrupted: Interrupted?
    var want: WantMessage?
    var isSubscribed = false
    var forwardAt: Milliseconds?
    var pushBlockedUntil: Milliseconds?
    var beyondSent: UInt64 = 0
    var queuedSeen = 0

    // Statements.
    var isStateDue = false
    /// The look at the replica that the state waits for.
    var stateLook = Int.max
    var told: StatementMessage?
    /// The count of news that was looked at for this peer.
    var newsSeen: Int?
    /// The fingerprints of both sides when the structures were last sent.
    var schemaSent: (own: UInt64, theirs: UInt64?)?
    /// Structures that came while the peer's changes were not taken: they come once.
    var heldSchema: CBOR?
    var statementDueAt: Milliseconds?
    var isStatementForced = false
    var lastStatementAt: Milliseconds?
    var creditOwed = 0
    /// The origin that the host was told.
    var author: Origin?
    var noteDueAt: Milliseconds?
    /// Not before: it asked where others stand, and was answered.
    var answerAt: Milliseconds = .min
    var lastNoteAt: Milliseconds?

    // Facts for people.
    var record: PeerBook.RecordID?
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    /// When it took part last, as far as this replica knew.
    var stoodAt: Milliseconds?
    /// It has to take a copy, and was not told yet: it may say the same of this replica.
    var isLate = false
    /// Since when it seems to have to take a copy, and says of itself that it takes part.
    var outdatedSince: Milliseconds?
    /// When it may be let in again.
    var joinAt: Milliseconds = .min
    /// The host was told that the peer is connected.
    var isAnnounced = false
    var isDivergent = false
    /// The peer's count in its `state`, when it is the one that decides; and our own.
    var choice: UInt64 = 0
    var ownChoice: UInt64 = 0

    init(
        id: LinkID, link: any Link, address: PeerAddress?, authenticated: String?,
        session: Session, now: Milliseconds
    ) {
        self.id = id
        self.link = link
        self.address = address
        self.authenticated = authenticated
        self.session = session
        progressAt = now
        checkAt = now + SyncLimits.checkMilliseconds
    }

    var isActive: Bool { session.phase == .active }
    var peerNode: String { session.peer?.node ?? "" }
    /// The node whose key it has proved, or that it says it is.
    var node: String { authenticated ?? peerNode }
    /// For people.
    var name: String {
        let said = session.peer?.name ?? ""
        return said.isEmpty ? String(node.prefix(8)) : said
    }
    /// The peer takes what is sent to it.
    var accepts: Bool { session.stated?.accepts ?? true }

    /// What the peer has to fetch that `own` lacks, as far as is known.
    func hasNews(for own: ReplicaSummary) -> Bool {
        guard let stated = session.stated else { return false }
        if !own.vector.covers(session.peerHas) { return true }
        return !stated.isWhole && stated.beyondHash != own.beyondHash
    }

    /// Gives the read snapshot back; the one place where a source is closed.
    func closeSource() {
        guard let current = outgoing else { return }
        outgoing = nil
        current.source.close()
    }
}

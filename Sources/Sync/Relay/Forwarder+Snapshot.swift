// Snapshots of the log: a whole copy, sealed by a member, that stands for everything up to a position, so
// that the relay can let old entries go and a newcomer need not read them.

internal import CausalModel
internal import RelayProtocol
internal import Store
internal import Values
internal import Wire

// A snapshot: for each entry a byte of key length, the key, four bytes of length (most significant first),
// the sealed content. First where the log's readers stood (`standing`), then grants, then one transfer from
// nothing to its END.

/// A snapshot that is being made, or waits to be stored.
struct LogSnapshotWriting {
    /// nil once all was read.
    var source: (any DeltaSource)?
    let covers: LogPosition
    let transfer: [UInt8]
    var number = 0
    var previous: [UInt8] = []
    var bytes: [UInt8] = []
    var isWhole: Bool { source == nil }
}

/// A snapshot that is being read.
struct LogSnapshotReading {
    let covers: LogPosition
    let entries: [LogEntry]
    var next = 0
    /// What its author says that every reader had.
    var vector: VersionVector?
    var hasEnded = false
}

extension Forwarder {
    private static let slot = "*"

    // MARK: Making

    /// Whether the log is long enough for a snapshot, given that nothing else is to be done.
    func beginSnapshot(_ now: Milliseconds) throws -> Bool {
        let isLong =
            state.entries >= limits.snapshotEntriesMin && state.bytes >= limits.snapshotBytesMin
        guard isLong || isSnapshotWanted, writing == nil, mayWrite(node),
            let covers = state.position
        else {
            snapshotAt = nil
            return false
        }
        if snapshotAt == nil {
            // Others may be about to do the same.
            snapshotAt =
                now + (isSnapshotWanted ? 0 : jitter(0...limits.snapshotJitterMilliseconds))
        }
        guard let due = snapshotAt, due <= now else { return false }
        snapshotAt = nil
        let isForced = isSnapshotWanted
        isSnapshotWanted = false
        let nothing = VersionVector()
        guard
            let source = try replica.openLogDelta(
                base: nothing, resume: nil, isCoveredOnly: true)
        else { return false }
        guard isForced || state.bytes >= 2 * source.header.bytes,
            source.header.bytes <= limits.snapshotBytesMax
        else {
            // Looked at again when the log has grown as much.
            snapshotAt = now + 60 * limits.snapshotJitterMilliseconds
            source.close()
            return false
        }
        var made = LogSnapshotWriting(source: source, covers: covers, transfer: randomBytes(16))
        try add(.standing(LogStanding(vector: state.vector, wants: false)), .snapshot, to: &made)
        if let grants = grants?(), !grants.isEmpty { try add(.grants(grants), .grants, to: &made) }
        writing = made
        return true
    }

    private func add(
        _ message: LogMessage, _ purpose: LogPurpose, to made: inout LogSnapshotWriting
    ) throws {
        let entry = try sealed(message, purpose)
        made.bytes.append(UInt8(entry.key.count))
        made.bytes += entry.key
        for shift in [24, 16, 8, 0] as [UInt32] {
            made.bytes.append(UInt8(truncatingIfNeeded: UInt32(entry.content.count) >> shift))
        }
        made.bytes += entry.content
        made.previous = entry.key
    }

    /// Adds one chunk.
    func writeSnapshot() throws -> Bool {
        guard var made = writing, let source = made.source else { return false }
        do {
            let chunk = try source.next()
            let isEnd = chunk?.isLast ?? true
            let current = LogBuilding(
                source: source, transfer: made.transfer, base: VersionVector(),
                number: made.number, previous: made.previous)
            for var part in try parts(of: chunk, isEnd: isEnd, current, isSchemaTold: true) {
                if part.start == nil { part.previous = made.previous }
                try add(.part(part), .snapshot, to: &made)
                made.number += 1
            }
            if isEnd || made.bytes.count > limits.snapshotBytesMax {
                source.close()
                made.source = nil
            }
        } catch {
            source.close()
            writing = nil
            throw error
        }
        writing = made.bytes.count > limits.snapshotBytesMax ? nil : made
        return true
    }

    func snapshotStored() {
        writing = nil
        guard let message = try? sealed(.snapshotStored, .message) else { return }
        outbox.append(LogOutgoing(entry: message, message: .snapshotStored))
    }

    // MARK: Reading

    /// A snapshot came.
    func begin(_ covers: LogPosition, _ bytes: [UInt8], _ now: Milliseconds) {
        guard let entries = Self.entries(bytes) else { return failSnapshot(now) }
        dropOutbox()
        for slot in transfers.keys { end(slot) }
        snapshot = LogSnapshotReading(covers: covers, entries: entries)
    }

    /// The log is another, or begins later: read from the start, or from a snapshot, it is as large as it is.
    /// A relay that says so again and again is asked less and less often.
    func noteSetback(_ now: Milliseconds) {
        let range = limits.wantMilliseconds
        let count = now - setbacks.at > 2 * range.upperBound ? 1 : setbacks.count + 1
        setbacks.count = count
        setbacks.at = now
        guard count > limits.setbacksMax else { return }
        let backoff = Backoff(
            firstMilliseconds: range.lowerBound, maxMilliseconds: range.upperBound)
        setbacks.until = now + backoff.milliseconds(doublings: count - limits.setbacksMax - 1)
    }

    /// A person wants it now, or the network is another: a pause for a log that leads nowhere ends. One that
    /// still does has the next, longer one.
    package func tryAtOnce() { setbacks.until = .min / 2 }

    private static func entries(_ bytes: [UInt8]) -> [LogEntry]? {
        var entries: [LogEntry] = []
        var place = 0
        while place < bytes.count {
            let keyEnd = place + 1 + Int(bytes[place])
            guard Framing.keyBytes.contains(Int(bytes[place])), keyEnd + 4 <= bytes.count else {
                return nil
            }
            let length = bytes[keyEnd..<keyEnd + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - keyEnd - 4 else { return nil }
            entries.append(
                LogEntry(
                    key: Array(bytes[place + 1..<keyEnd]),
                    content: Array(bytes[keyEnd + 4..<keyEnd + 4 + length])))
            place = keyEnd + 4 + length
        }
        return entries
    }

    /// Looks at the next entry of a snapshot.
    func readSnapshot(_ now: Milliseconds) throws -> Bool {
        guard var current = snapshot else { return false }
        guard current.next < current.entries.count else {
            try endSnapshot(current, now)
            return true
        }
        let entry = current.entries[current.next]
        current.next += 1
        switch seal.open(entry, purposes: [.snapshot, .grants]) {
        case .refused(let reason):
            count(reason)
            failSnapshot(now)
            return true
        case .opened(let author, let bytes):
            guard author == node || mayWrite(author),
                let message = try? LogMessage(decoding: bytes)
            else {
                count(.malformed)
                failSnapshot(now)
                return true
            }
            switch message {
            case .standing(let standing): current.vector = standing.vector
            case .grants(let grants): onGrants?(grants, author)
            case .part(let part) where replica.isJoining:
                // A replica that waits for a copy reads on behind it, for the one that is for it.
                current.hasEnded = part.isEnd
            case .part(let part):
                do { try take(part, of: author, in: Self.slot, key: entry.key, now) } catch let
                    error as StoreError where error.code == .invalidDelta
                {
                    count(.malformed)
                    failSnapshot(now)
                    return true
                }
                current.hasEnded = part.isEnd && transfers[Self.slot] == nil
            default: break
            }
        }
        snapshot = current
        return true
    }

    private func endSnapshot(_ end: LogSnapshotReading, _ now: Milliseconds) throws {
        guard end.hasEnded, var vector = end.vector else { return failSnapshot(now) }
        vector.meet(replica.vector)
        let before = state
        state = LogState()
        state.position = end.covers
        state.vector = vector
        state.joining = before.joining
        do { try save() } catch {
            state = before
            throw error
        }
        snapshot = nil
        needsSnapshot = false
        snapshotTry = 0
        isCaughtUp = false
    }

    /// One that is damaged, or that nobody here can read: the one before it may be better.
    private func failSnapshot(_ now: Milliseconds) {
        snapshot = nil
        self.end(Self.slot)
        snapshotTry += 1
        if snapshotTry % 2 == 0 { snapshotRetryAt = now + limits.lackMilliseconds }
    }
}

// A log in memory that can misbehave in every way that a relay can, and a seal that is no cipher but refuses
// what a cipher would refuse.

internal import Codec
package import RelayProtocol
package import Sync
package import TestKit

/// Author, epoch and message under a checksum that covers the key.
package final class PlainSeal: LogSeal {
    package let author: String
    package var epoch: UInt8 = 0
    package var epochs: Set<UInt8> = [0]
    package var members: Set<String>?
    package var removed: Set<String> = []

    package init(author: String) { self.author = author }

    private static func purpose(_ purpose: LogPurpose) -> UInt8 {
        switch purpose {
        case .message: 0
        case .grants: 1
        case .snapshot: 2
        }
    }

    package func seal(_ message: [UInt8], purpose: LogPurpose, key: [UInt8]) throws -> [UInt8] {
        let epoch = purpose == .grants ? 0 : epoch
        let name = Array(author.utf8)
        let body = [epoch, Self.purpose(purpose), UInt8(name.count)] + name + message
        return Self.sum(key + body) + body
    }

    package func open(_ entry: LogEntry, purposes: Set<LogPurpose>) -> LogOpening {
        let body = Array(entry.content.dropFirst(8))
        guard body.count >= 3, Self.sum(entry.key + body) == Array(entry.content.prefix(8)),
            purposes.contains(where: { Self.purpose($0) == body[1] })
        else { return .refused(.tampered) }
        guard epochs.contains(body[0]) else { return .refused(.unknownEpoch) }
        let name = String(decoding: body[3..<3 + Int(body[2])], as: UTF8.self)
        if removed.contains(name) { return .refused(.removed) }
        if let members, !members.contains(name) { return .refused(.stranger) }
        return .opened(author: name, message: Array(body[(3 + Int(body[2]))...]))
    }

    private static func sum(_ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.fixed64(hash64(bytes))
        return writer.bytes
    }
}

/// A log in memory. Honest unless told otherwise.
package final class SimulatedRelay {
    package struct Faults {
        /// Chances in 100, of each request or entry.
        package var lostRequest = 0
        package var lostAnswer = 0
        package var swallowed = 0
        package var replayed = 0
        package var swapped = 0
        package var tampered = 0
        package var hidden = 0
        package var cutBack = 0
        package init() {}
    }

    package struct Held {
        package var entry: LogEntry
        /// Members that are not shown it.
        package var hidden: Set<String> = []
    }

    package var faults = Faults()
    /// Who may be shown another log than the others.
    package var readers = (0..<8).map { "node\($0)" }
    package private(set) var log: [Held] = []
    private var generation: [UInt8] = [1, 1, 1, 1, 1, 1, 1, 1]
    package var random: SeededGenerator
    package var isDown = false
    /// Entries before it are let go.
    package private(set) var first = 0
    package private(set) var snapshots: [(covers: LogPosition, bytes: [UInt8])] = []
    package var answerEntriesMax = 8
    package private(set) var requests = 0

    package init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private func chance(_ percent: Int) -> Bool { percent > 0 && random.below(100) < percent }

    private func position(_ number: Int) -> LogPosition {
        LogPosition(
            generation: generation, number: Int64(number), link: [UInt8](repeating: 0, count: 8))
    }

    /// The group is enrolled anew: the log is empty.
    package func startAnew() {
        generation[0] &+= 1
        log = []
        first = 0
        snapshots = []
    }

    /// An older copy of the relay's file is put back, and the relay knows it. A hostile one has snapshots all
    /// the same that lead nowhere.
    package func rollBack(to count: Int, keepsSnapshots: Bool = false) {
        let kept = snapshots.filter { $0.covers.number <= count }
        guard keepsSnapshots || first == 0 || kept.contains(where: { $0.covers.number >= first })
        else { return }
        log = Array(log.prefix(count))
        generation[1] &+= 1
        guard !keepsSnapshots else { return }
        first = min(first, count)
        snapshots = kept.map { (position(Int($0.covers.number)), $0.bytes) }
    }

    /// Never beyond its end, which may have been cut off since that snapshot.
    package func letGo(before number: Int) { first = min(number, log.count) }

    package func put(_ entry: LogEntry) { log.append(Held(entry: entry)) }

    package func answer(_ request: LogRequest, of member: String) -> LogReply {
        requests += 1
        if isDown || chance(faults.lostRequest) { return .failed }
        let reply = honest(request, of: member)
        return chance(faults.lostAnswer) ? .failed : reply
    }

    private func honest(_ request: LogRequest, of member: String) -> LogReply {
        switch request.kind {
        case .getSnapshot(let previous):
            guard let found = previous ? snapshots.dropLast().last : snapshots.last else {
                return .refused(.noSnapshot)
            }
            return .snapshot(covers: found.covers, bytes: found.bytes)
        case .putSnapshot(let covers, let bytes):
            if let last = snapshots.last, last.covers.number > covers.number {
                return .refused(.olderSnapshot)
            }
            snapshots = snapshots.suffix(1) + [(covers, bytes)]
            return .stored
        case .sync(let after, _, let entries):
            if let after, after.generation != generation {
                return .refused(after.generation[0] != generation[0] ? .otherLog : .rolledBack)
            }
            let start = after.map { Int($0.number) } ?? 0
            if start < first { return .refused(.snapshotNeeded) }
            return sync(min(start, log.count), entries, member)
        }
    }

    private func sync(_ start: Int, _ entries: [LogEntry], _ member: String) -> LogReply {
        var outcomes: [SyncAnswer.Outcome] = []
        for entry in entries {
            if let known = log.first(where: { $0.entry.key == entry.key }) {
                guard known.entry == entry else { return .refused(.keyConflict) }
                outcomes.append(.known)
                continue
            }
            outcomes.append(.appended)
            if !chance(faults.swallowed) { append(entry) }
        }
        if !log.isEmpty, chance(faults.cutBack) {
            log.removeLast(min(log.count - first, 1 + random.below(4)))
        }
        let shown = log.dropFirst(start).prefix(answerEntriesMax)
        let own = Set(entries.map(\.key))
        let items: [SyncAnswer.Item] = shown.compactMap { held in
            if held.hidden.contains(member) { return nil }
            return own.contains(held.entry.key) ? .own(key: held.entry.key) : .entry(held.entry)
        }
        let end = min(log.count, start + shown.count)
        return .synced(
            SyncAnswer(
                outcomes: outcomes, items: items, hasMore: end < log.count, position: position(end))
        )
    }

    private func append(_ entry: LogEntry) {
        var entry = entry
        if chance(faults.tampered) {
            entry.content[random.below(entry.content.count)] ^= 1 << UInt8(random.below(8))
        }
        var held = Held(entry: entry)
        for reader in readers where chance(faults.hidden) { held.hidden.insert(reader) }
        log.append(held)
        if chance(faults.replayed) { log.append(log[random.below(log.count)]) }
        if log.count - first > 2, chance(faults.swapped) {
            log.swapAt(log.count - 1, log.count - 2)
        }
    }
}

// A replica that takes part (again): it takes a full copy under a new origin, and what nobody else has
// of its own is issued again. For newcomers, restored and copied files, and whoever was away too long.

package import CausalModel
internal import SQLite
internal import Values

/// Where a replica stands between an old life and the next.
///
/// Until its copy has come to an end, nothing it numbers may leave: what it writes has not seen the
/// deletes that the others have forgotten. Programs go on all the same, and their changes are numbered under
/// a *provisional* origin that nobody ever hears of.
struct Joining: Equatable {
    enum Phase: Int64 {
        /// Rows of the copy come in.
        case copying = 1
        /// The copy is whole; what it did not bring is looked at.
        case settling = 2
    }

    var phase: Phase
    /// What the file had seen before: what its rows without a context of their own have seen.
    var former: VersionVector
    /// The origin of all changes meanwhile.
    var provisional: Origin
    /// Those of earlier attempts: another copy of the file may go on under one of them.
    var abandoned: [Origin] = []
    /// Rows of a copy have come, of this attempt or an earlier one: what the file says of the group may be
    /// a half of the truth. So it is when a member that takes part has sent this replica for a copy.
    var hasBegun = false
    /// While settling: the vector that the copy ended with.
    var copied = VersionVector()
    /// While settling: a row that has seen this was brought by the copy.
    var began = VersionVector()
    /// While settling: what the copy's source had collected. So it is here, too, from the new life on.
    var floor = VersionVector()
}

extension Replica {
    /// Whether this replica waits for its copy: nothing of it may be sent or stated.
    package var isJoining: Bool { joining != nil }

    /// While it does: the vector that its rows of before have seen, or, once the copy is whole, that of the
    /// copy.
    package var joiningVector: VersionVector? {
        joining.map { $0.phase == .settling ? $0.copied : $0.former }
    }

    package func holds(_ dot: Dot) -> Bool {
        guard let ordinal = ordinals[dot.origin], let number = Int64(exactly: dot.number) else {
            return false
        }
        let found = try? connection.first(
            "SELECT 1 FROM _starling_dot WHERE origin = ?1 AND number = ?2",
            [.integer(Int64(ordinal)), .integer(number)])
        return found != nil
    }

    /// Whether its copy is whole, and what it did not bring is looked at.
    package var isSettling: Bool { joining?.phase == .settling }

    /// The origins that changes are numbered under at present.
    package var ownOrigins: Set<Origin> { [origin, author] }

    package var hasCopyBegun: Bool { joining?.hasBegun ?? false }

    /// While it does: the last number that was given under the provisional origin.
    package var provisionalDot: Dot? {
        joining.map { Dot($0.provisional, vector[$0.provisional]) }
    }

    /// The origin that the next change is numbered under.
    var author: Origin { joining?.provisional ?? origin }

    /// Forgets what this replica claimed to know and starts over under a new origin. Its rows stay, as if
    /// they had been received half; the next copy and ``settleJoining()`` decide on them.
    ///
    /// Called before the first fold, or at any time later; again while a copy is under way, it begins
    /// anew. Complexity: O(origins).
    ///
    /// - Parameter isBehind: somebody who takes part said so: the file's own word about who does is not
    ///   to be believed.
    package func beginJoining(because reason: String, isBehind: Bool = false) throws {
        try translated {
            // Without a fold before: what waits in the journal is numbered under the provisional origin.
            try rawWrite {
                var former = joining?.former ?? vector
                if joining?.phase == .settling { former.join(vector) }
                var abandoned: [Origin] = []
                if let joining {
                    former[joining.provisional] = vector[joining.provisional]
                    abandoned = joining.abandoned
                    if former[joining.provisional] > 0 { abandoned.append(joining.provisional) }
                }
                // Of rows that an earlier attempt brought, those go on as before that were here, too.
                let had = joining?.phase == .copying ? joining?.former : nil
                if had == nil || !isBroken(.earlierCopyForgotten) {
                    try addToContexts(former, ofThoseThatHave: had ?? VersionVector())
                }
                vector = VersionVector()
                try connection.run("UPDATE _starling_origin SET seen = 0")
                try startOrigin()
                try connection.run("DELETE FROM _starling_transfer")
                try connection.run("DELETE FROM _starling_copy")
                continuedOrigins = []
                joining = Joining(
                    phase: .copying, former: former, provisional: try freshOrigin(),
                    abandoned: abandoned, hasBegun: isBehind || joining?.hasBegun ?? false)
                try saveJoining()
            }
            joiningReason = reason
            problems["origin"] = "takes a copy of the group's data under a new origin: \(reason)"
        }
    }

    /// Rows with a context of their own have seen what the vector covered, too, if they have seen `past`.
    private func addToContexts(
        _ former: VersionVector, ofThoseThatHave past: VersionVector
    ) throws {
        for row in try connection.query("SELECT id, vector FROM _starling_snapshot ORDER BY id") {
            guard case .blob(let bytes) = row[1] else { continue }
            let before = try VersionVector(decoding: bytes)
            guard before.covers(past), !before.covers(former) else { continue }
            let seen = before.joined(former)
            let other = try connection.first(
                "SELECT id FROM _starling_snapshot WHERE vector = ?1", [.blob(seen.encoded)])
            if let other, other != row[0] {
                try connection.run(
                    "UPDATE _starling_row SET context = ?2 WHERE context = ?1", [row[0], other])
                try connection.run("DELETE FROM _starling_snapshot WHERE id = ?1", [row[0]])
            } else {
                try connection.run(
                    "UPDATE _starling_snapshot SET vector = ?2 WHERE id = ?1",
                    [row[0], .blob(seen.encoded)])
            }
        }
        lastSnapshot = nil
    }

    /// Stops waiting for a copy: this file is what the group goes on from. For whoever is alone, or among
    /// members of whom none has anything else to go on from.
    package func endJoiningAlone() throws {
        if joining?.phase == .copying { try beginAlone() }
        try settleJoining()
    }

    private func beginAlone() throws {
        try write {
            guard var joining else { return }
            joining.copied = joining.former
            for own in joining.abandoned + [joining.provisional] { joining.copied[own] = 0 }
            try advance(to: joining.copied)
            joining.phase = .settling
            // Nothing is missing from a copy that is this file.
            joining.began = VersionVector()
            self.joining = joining
            try saveJoining()
        }
    }

    // MARK: The copy

    /// What a stored row has seen. One without a context of its own is from the life before.
    func seen(by row: Row?) -> VersionVector? {
        row.flatMap { $0.context ?? joining?.former }
    }

    /// Notes where the copy from this source began, in the transaction of its first chunk.
    func noteCopyBegan(_ header: DeltaHeader) throws {
        guard joining?.phase == .copying else { return }
        if joining?.hasBegun == false {
            joining?.hasBegun = true
            try saveJoining()
        }
        guard header.began == nil else { return }
        // One that begins anew brings all its rows again, and what came before counts no more.
        let action = header.isFromStart ? "REPLACE" : "IGNORE"
        try connection.run(
            "INSERT OR \(action) INTO _starling_copy(source, snapshot) VALUES(?1, ?2)",
            [.blob(header.source.bytes), .blob(header.snapshot.encoded)])
    }

    /// The sender's vector when the copy from this source began; nil when there is none.
    func copyBegan(from source: Origin) throws -> VersionVector? {
        guard joining?.phase == .copying,
            case .blob(let bytes)? = try connection.first(
                "SELECT snapshot FROM _starling_copy WHERE source = ?1", [.blob(source.bytes)])
        else { return nil }
        return try VersionVector(decoding: bytes)
    }

    /// A delta came to its end: the copy is whole. Called inside the transaction that ends it, when the
    /// vector has moved.
    func noteCopyEnded(_ header: DeltaHeader) throws {
        guard var joining, joining.phase == .copying else { return }
        guard header.snapshot.covers(header.floor) else {
            throw StoreError(
                .invalidDelta, "a copy lacks rows that its sender has not seen deleted")
        }
        let noted = header.isFromStart ? nil : try copyBegan(from: header.source)
        let began = header.began ?? noted
        joining.phase = .settling
        joining.copied = header.snapshot
        joining.began = began ?? header.snapshot
        joining.floor = header.floor
        self.joining = joining
        try saveJoining()
    }

    // MARK: Keeping

    func saveJoining() throws {
        let value: Value
        if let joining {
            let parts = [joining.former, joining.copied, joining.began, joining.floor].map(
                \.encoded)
            let own = [joining.provisional] + joining.abandoned.suffix(Limits.abandonedOriginsMax)
            let begun: UInt8 = joining.hasBegun ? 0x80 : 0
            var bytes: [UInt8] = [UInt8(joining.phase.rawValue) | begun, UInt8(own.count)]
            bytes += own.flatMap(\.bytes)
            for part in parts {
                bytes += withUnsafeBytes(of: UInt32(part.count).littleEndian) { Array($0) } + part
            }
            value = .blob(bytes)
        } else {
            value = .null
        }
        try Bookkeeping.setMeta("joining", value, in: connection)
        try Bookkeeping.setMeta(
            "continued", .blob(continuedOrigins.flatMap(\.bytes)), in: connection)
    }

    /// Reads what ``saveJoining()`` wrote.
    func reloadJoining() throws {
        joining = nil
        continuedOrigins = []
        if case .blob(let bytes)? = try Bookkeeping.meta("continued", in: connection) {
            continuedOrigins = stride(from: 0, to: bytes.count, by: 16).compactMap {
                Origin(bytes: Array(bytes[$0..<min($0 + 16, bytes.count)]))
            }
        }
        guard case .blob(let bytes)? = try Bookkeeping.meta("joining", in: connection) else {
            return
        }
        let damaged = StoreError(.damaged, "what the file says of its joining does not decode")
        guard bytes.count > 2, let phase = Joining.Phase(rawValue: Int64(bytes[0] & 0x7f))
        else {
            throw damaged
        }
        var place = 2 + 16 * Int(bytes[1])
        guard place <= bytes.count else { throw damaged }
        let own = stride(from: 2, to: place, by: 16).compactMap {
            Origin(bytes: Array(bytes[$0..<$0 + 16]))
        }
        var vectors: [VersionVector] = []
        while place + 4 <= bytes.count {
            let count = (0..<4).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) }
            place += 4
            guard place + count <= bytes.count else { throw damaged }
            vectors.append(try VersionVector(decoding: Array(bytes[place..<place + count])))
            place += count
        }
        // A file of before has no floor of a copy.
        guard 3...4 ~= vectors.count, let provisional = own.first else { throw damaged }
        joining = Joining(
            phase: phase, former: vectors[0], provisional: provisional,
            abandoned: Array(own.dropFirst()), hasBegun: bytes[0] & 0x80 != 0, copied: vectors[1],
            began: vectors[2], floor: vectors.count == 4 ? vectors[3] : VersionVector())
    }

    /// Goes on under a new origin with all that was known: nothing that was said is untrue, but numbers
    /// may have been given that are lost.
    package func continueUnderNewOrigin(because reason: String) throws {
        try translated {
            try rawWrite {
                let past = origin
                try startOrigin()
                try connection.run("DELETE FROM _starling_transfer")
                continuedOrigins = Array(
                    ([past] + continuedOrigins).prefix(Limits.continuedOriginsMax))
                try saveJoining()
            }
            problems["origin"] = "continues under a new origin: \(reason)"
        }
    }

    func freshOrigin() throws -> Origin {
        let fresh = Origin(high: environment.random(), low: environment.random())
        _ = try ordinalForWriting(fresh)
        return fresh
    }
}

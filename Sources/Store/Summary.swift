// What a replica says of itself, and the durability that must come before it is said.

internal import CPlatform
package import CausalModel
internal import Codec
internal import SQLite
internal import Values

extension Replica: SyncReplica {
    package func summary() throws -> ReplicaSummary { try summary(whileReceiving: false) }

    /// Complexity: O(rows beyond the vector), and O(origins) while receiving.
    package func summary(whileReceiving: Bool) throws -> ReplicaSummary {
        try fold()
        return try translated {
            if !isBroken(.statedBeforeDurable) { try makeDurable() }
            let isWhole = try !hasRowsBeyondVector()
            if isWhole || !whileReceiving { beyondHash = isWhole ? 0 : try hashBeyondVector() }
            summarizedDataVersion = foldedDataVersion
            var stated = vector
            if let joining { stated[joining.provisional] = 0 }
            return ReplicaSummary(
                origin: origin, vector: stated, isWhole: isWhole && !isJoining,
                beyondHash: beyondHash, digest: digest, schemaFingerprint: schemaFingerprint,
                floor: isJoining ? VersionVector() : floor, isJoining: isJoining,
                hasUnsettled: try hasRowsOfRemoved())
        }
    }

    /// Whether another connection committed since the last summary: what this replica wrote itself is
    /// no news. A program in the middle of its commit is waited for, since nothing else tells when it
    /// has ended.
    package func hasForeignCommit() throws -> Bool {
        try translated {
            try connection.transaction {
                try connection.cachedInteger("PRAGMA data_version") != summarizedDataVersion
            }
        }
    }

    /// Over all synced content less the deleted rows: the tables' sums, each bound to its table's
    /// name.
    package var digest: UInt64 {
        tables.values.reduce(0) { sum, entry in
            // A table without rows counts for nothing, so that it does not matter who knows it.
            entry.digest == 0 ? sum : sum &+ RowHash.mix(entry.digest ^ entry.nameHash)
        }
    }

    /// Whether no live dot lies beyond the vector, without folding first. Complexity: O(origins).
    package func isWholeNow() throws -> Bool {
        try translated { try !isJoining && !hasRowsBeyondVector() }
    }

    /// Whether rows of a removed node are half received here, and not issued again yet.
    package func hasRowsOfRemoved() throws -> Bool {
        try removedOrigins.contains {
            try !rowsBeyond($0, number: vector[$0], limit: 1).isEmpty
        }
    }

    /// What is asked of the rows that have a live dot beyond the vector.
    private static func beyond(_ what: String) -> String {
        """
        SELECT \(what) FROM _starling_dot d
        JOIN _starling_row r ON r.tbl = d.tbl AND r.key = d.key
        WHERE d.origin = ?1 AND d.number > ?2
        """
    }

    /// Calls `body` with a statement that is bound to each origin in turn, until it returns true.
    private func askBeyond(_ sql: String, _ body: (Statement) throws -> Bool) throws -> Bool {
        let statement = try connection.cached(sql)
        defer { statement.reset() }
        for (ordinal, origin) in origins.enumerated() {
            statement.reset()
            try statement.bind(Int64(ordinal), at: 1)
            try statement.bind(Int64(vector[origin]), at: 2)
            if try body(statement) { return true }
        }
        return false
    }

    private func hasRowsBeyondVector() throws -> Bool {
        try askBeyond(Self.beyond("1") + " LIMIT 1") { try $0.step() }
    }

    /// A hash over the rows that have a live dot beyond the vector. Complexity: O(such rows).
    private func hashBeyondVector() throws -> UInt64 {
        var hash: UInt64 = 0
        _ = try askBeyond(Self.beyond("r.hash")) { statement in
            while try statement.step() {
                hash &+= RowHash.mix(UInt64(bitPattern: statement.int(0)))
            }
            return false
        }
        return hash
    }

    /// Makes all that was committed durable; the marker outside the file is told first. Nothing is
    /// flushed again when neither this connection nor another committed since.
    package func makeDurable() throws {
        try translated {
            guard let version = try unflushedVersion() else { return }
            try willExport?(origin, vector[origin])
            // An app's checkpoint may have moved pages without a flush; most often none happened.
            let modified = starling_file_modified(path)
            let isMoved = modified == 0 || modified != syncedModification
            if !isBroken(.sentBeforeDurable) {
                try connection.syncFiles(includesDatabase: isMoved)
            }
            syncedModification = modified
            syncedDataVersion = version
            needsSync = false
        }
    }

    /// The count of others' commits when something is not on disk yet; nil when all is.
    func unflushedVersion() throws -> Int64? {
        let version = try connection.cachedInteger("PRAGMA data_version") ?? 0
        return needsSync || version != syncedDataVersion ? version : nil
    }

    package func noteStatement(
        of peer: String, name: String, origin: Origin, vector: VersionVector
    ) throws {
        try translated {
            try connection.run(
                """
                INSERT OR REPLACE INTO _starling_peer(node, name, vector, seen, origin)
                VALUES(?1, ?2, ?3, ?4, ?5)
                """,
                [
                    .string(peer), .string(name), .blob(vector.encoded),
                    .integer(environment.wallClock()), .blob(origin.bytes),
                ])
        }
    }

    package func noteReport(
        of node: String, name: String, origin: Origin, vector: VersionVector?,
        ageMilliseconds: Int64
    ) throws -> Bool {
        let held = try peerStatement(of: node)
        let isKnown = held?.origin == origin
        // Of two that are both true the greater is the later one.
        let isNew =
            vector.map { vector in
                guard isKnown, let held else { return true }
                return vector != held.vector && vector.covers(held.vector)
            } ?? false
        let seen = max(
            1, environment.wallClock() - ageMilliseconds, isKnown ? held?.seenMilliseconds ?? 0 : 0)
        guard let kept = isNew ? vector : held?.vector,
            isNew || isKnown && seen - (held?.seenMilliseconds ?? 0) >= Self.seenMillisecondsMin
        else { return false }
        try translated {
            try connection.run(
                """
                INSERT OR REPLACE INTO _starling_peer(node, name, vector, seen, origin)
                VALUES(?1, ?2, ?3, ?4, ?5)
                """,
                [
                    .string(node), .string(held.map(\.name) ?? name), .blob(kept.encoded),
                    .integer(seen), .blob(origin.bytes),
                ])
        }
        return isNew
    }

    /// A write for nothing but the time is worth it after an hour.
    private static let seenMillisecondsMin: Int64 = 3_600_000

    package func hasGoneBack(
        _ peer: String, origin: Origin, vector: VersionVector
    ) throws -> Bool {
        guard let held = try peerStatement(of: peer) else { return false }
        return held.origin == origin && !vector.covers(held.vector)
    }

    /// The latest statement of every peer that was ever met, by node id.
    package func peerStatements() throws -> [PeerStatement] {
        try peerStatements("ORDER BY node")
    }

    func peerStatement(of node: String) throws -> PeerStatement? {
        try peerStatements("WHERE node = ?1", [.string(node)]).first
    }

    private func peerStatements(_ rest: String, _ values: [Value] = []) throws -> [PeerStatement] {
        let now = environment.wallClock()
        return try translated {
            try connection.query(
                "SELECT node, name, vector, seen, origin FROM _starling_peer \(rest)", values
            )
            .compactMap { row in
                guard case .text(let node) = row[0], case .text(let name) = row[1],
                    case .blob(let vector) = row[2], case .integer(let seen) = row[3]
                else { return nil }
                var origin: Origin?
                if case .blob(let bytes) = row[4] { origin = Origin(bytes: bytes) }
                return PeerStatement(
                    node: String(decoding: node, as: UTF8.self),
                    name: String(decoding: name, as: UTF8.self),
                    vector: try VersionVector(decoding: vector), origin: origin,
                    seenMilliseconds: seen, ageMilliseconds: now - seen)
            }
        }
    }

    /// Forgets a peer's statement, so that nothing waits for it any more.
    package func forgetPeer(_ node: String) throws {
        try translated {
            try connection.run("DELETE FROM _starling_peer WHERE node = ?1", [.string(node)])
        }
    }
}

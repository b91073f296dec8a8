// What a replica does with the log of a relay: rows of one part, END, and what the reader remembers of the
// log, all in one transaction. What is remembered is the business of whoever reads the log.

package import CausalModel
internal import Codec
internal import SQLite
internal import Values

/// What a reader of a log keeps in the file, by name; nil removes.
package typealias LogNotes = [String: [UInt8]?]

/// A replica that can also follow the log of a relay.
package protocol LogReplica: SyncReplica {
    var vector: VersionVector { get }
    var origin: Origin { get }
    var floor: VersionVector { get }
    /// It waits for a copy, or settles what that did not bring.
    var isJoining: Bool { get }

    /// A delta of what the vector covers beyond `base`: rows of transfers that are still under way stay out,
    /// if `isCoveredOnly`.
    func openLogDelta(base: VersionVector, resume: ResumePoint?, isCoveredOnly: Bool) throws
        -> (any DeltaSource)?

    /// A delta of the rows of one table that the vector covers beyond `beyond`, which covers `base`; nil when
    /// there are none, or no such table.
    func openUrgentDelta(
        of table: String, base: VersionVector, beyond: VersionVector
    ) throws -> (any DeltaSource)?

    /// Everything that was noted of the log.
    func logNotes() throws -> [String: [UInt8]]

    /// Notes of the log, with the vector that the log has brought to every reader of it.
    func note(_ notes: LogNotes, logVector: VersionVector) throws

    /// Joins rows that stood in the log, ends their delta when `isEnd`, and keeps the notes, in one
    /// transaction.
    func applyLogged(
        _ chunk: DeltaChunk?, of header: DeltaHeader, isEnd: Bool, notes: LogNotes,
        logVector: VersionVector
    ) throws -> ApplyOutcome
}

extension Replica: LogReplica {
    package func openLogDelta(base: VersionVector, resume: ResumePoint?, isCoveredOnly: Bool) throws
        -> (any DeltaSource)?
    {
        try openDelta(base: base, resume: resume, DeltaScope(isCoveredOnly: isCoveredOnly))
    }

    package func openUrgentDelta(
        of table: String, base: VersionVector, beyond: VersionVector
    ) throws -> (any DeltaSource)? {
        guard let entry = self.table(named: table) else { return nil }
        let scope = DeltaScope(isCoveredOnly: true, table: entry.id, beyond: beyond)
        guard let delta = try openDelta(base: base, resume: nil, scope) else { return nil }
        if delta.header.rows > 0 { return delta }
        delta.close()
        return nil
    }

    package func logNotes() throws -> [String: [UInt8]] {
        try translated {
            var notes: [String: [UInt8]] = [:]
            for row in try connection.query("SELECT name, value FROM _starling_log") {
                guard case .text(let name) = row[0], case .blob(let value) = row[1] else {
                    continue
                }
                notes[String(decoding: name, as: UTF8.self)] = value
            }
            return notes
        }
    }

    package func note(_ notes: LogNotes, logVector: VersionVector) throws {
        try translated { try rawWrite { try save(notes, logVector) } }
    }

    package func applyLogged(
        _ chunk: DeltaChunk?, of header: DeltaHeader, isEnd: Bool, notes: LogNotes,
        logVector: VersionVector
    ) throws -> ApplyOutcome {
        isBulk = !isEnd
        defer { isBulk = false }
        return try write {
            hasVisibleChange = false
            let before = origin
            let rows = try chunk.map { try join($0, header) } ?? 0
            try noteCopyBegan(header)
            if isEnd { try end(header) }
            try save(notes, logVector)
            return ApplyOutcome(
                rows: rows, hasChanged: hasVisibleChange || isEnd, hasEndedOrigin: origin != before)
        }
    }

    private func save(_ notes: LogNotes, _ vector: VersionVector) throws {
        var notes = notes
        if vector != logVector { notes[Self.vectorNote] = vector.encoded }
        for (name, value) in notes {
            if let value {
                try connection.run(
                    "INSERT OR REPLACE INTO _starling_log(name, value) VALUES(?1, ?2)",
                    [.string(name), .blob(value)])
            } else {
                try connection.run("DELETE FROM _starling_log WHERE name = ?1", [.string(name)])
            }
        }
        logVector = vector
    }

    static let vectorNote = "vector"

    func reloadLog() throws {
        logVector = VersionVector()
        if case .blob(let bytes)? = try connection.first(
            "SELECT value FROM _starling_log WHERE name = ?1", [.string(Self.vectorNote)])
        {
            logVector = try VersionVector(decoding: bytes)
        }
    }
}

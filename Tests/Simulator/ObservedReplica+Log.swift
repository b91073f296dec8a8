// What a session with a relay may call of the observed store.

import CausalModel
import Store
import Sync

extension ObservedReplica {
    var vector: VersionVector { inner.vector }
    var origin: Origin { inner.origin }
    var floor: VersionVector { inner.floor }
    var isJoining: Bool { inner.isJoining }

    func openLogDelta(base: VersionVector, resume: ResumePoint?, isCoveredOnly: Bool) throws
        -> (any DeltaSource)?
    {
        try local {
            try inner.openLogDelta(base: base, resume: resume, isCoveredOnly: isCoveredOnly)
        }
    }

    func openUrgentDelta(
        of table: String, base: VersionVector, beyond: VersionVector
    ) throws -> (any DeltaSource)? {
        try local { try inner.openUrgentDelta(of: table, base: base, beyond: beyond) }
    }

    func logNotes() throws -> [String: [UInt8]] { try alive { try inner.logNotes() } }

    func note(_ notes: LogNotes, logVector: VersionVector) throws {
        try alive { try inner.note(notes, logVector: logVector) }
    }

    func applyLogged(
        _ chunk: DeltaChunk?, of header: DeltaHeader, isEnd: Bool, notes: LogNotes,
        logVector: VersionVector
    ) throws -> ApplyOutcome {
        explainTaken("a part of the log", header, chunk, isEnd: isEnd)
        let outcome = try receive {
            try inner.applyLogged(
                chunk, of: header, isEnd: isEnd, notes: notes, logVector: logVector)
        }
        machine.simulation.counts.logged += 1
        return outcome
    }

    /// Says what a delta is about of which something is to be taken.
    func explainTaken(
        _ kind: String, _ header: DeltaHeader, _ chunk: DeltaChunk?, isEnd: Bool = false
    ) {
        machine.simulation.explain {
            "\(machine.name) at \(Self.text(inner.vector)) takes \(kind) of "
                + "\(header.source.high % 1_000) from \(Self.text(header.base)) to "
                + "\(Self.text(header.snapshot)): \(chunk?.rows ?? 0) rows\(isEnd ? " and END" : "")"
        }
    }

    private static func text(_ vector: VersionVector) -> String {
        vector.entries.map { "\($0.origin.high % 1_000):\($0.number)" }.joined(separator: " ")
    }
}

// What the replica in memory does not do: it knows no list of members that says who has joined.

import CausalModel
import Store

extension MemoryReplica {
    var removedOrigins: [Origin] { over }
    var endedOrigins: [Origin] { [] }
    func holds(_ dot: Dot) -> Bool {
        rows.values.contains { row in row.kernel.writes.contains { $0.dot == dot } }
    }
    var isSettling: Bool { false }
    var hasCopyBegun: Bool { false }
    var continuedOrigins: [Origin] { [] }
    var joiningVector: VersionVector? { nil }
    func hasGoneBack(_ peer: String, origin: Origin, vector: VersionVector) throws -> Bool {
        hasPeerGoneBack
    }
    func beginJoining(because reason: String, isBehind: Bool) throws {
        try takeNewOrigin(because: reason)
    }
    func settleJoining() throws {}
    func endJoiningAlone() throws {}
}

// What a memory replica remembers of where others stand.

import CausalModel
import Store

extension MemoryReplica {
    func summary(whileReceiving: Bool) throws -> ReplicaSummary {
        looks.append(whileReceiving)
        return try summary()
    }

    func noteStatement(
        of peer: String, name: String, origin: Origin, vector: VersionVector
    ) throws {
        stated[peer] = PeerStatement(
            node: peer, name: name, vector: vector, origin: origin, seenMilliseconds: 0,
            ageMilliseconds: 0)
    }

    func peerStatements() throws -> [PeerStatement] { stated.values.sorted { $0.node < $1.node } }

    func noteReport(
        of node: String, name: String, origin: Origin, vector: VersionVector?,
        ageMilliseconds: Int64
    ) throws -> Bool {
        guard let vector else { return false }
        if let held = stated[node], held.origin == origin {
            guard vector != held.vector, vector.covers(held.vector) else { return false }
        }
        stated[node] = PeerStatement(
            node: node, name: name, vector: vector, origin: origin, seenMilliseconds: 0,
            ageMilliseconds: ageMilliseconds)
        return true
    }

    var hasDeletedRows: Bool { rows.values.contains { $0.kernel.isDeleted } }
}

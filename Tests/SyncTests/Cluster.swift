// Small clusters of memory replicas on a simulated network, and what they must hold at the end.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork
import Testing

/// Nodes with memory replicas.
final class Cluster {
    let network: SimulatedNetwork
    private(set) var nodes: [SimulatedNode] = []
    private(set) var replicas: [MemoryReplica] = []
    let seed: UInt64

    init(_ count: Int, seed: UInt64 = 1) {
        self.seed = seed
        network = SimulatedNetwork(seed: seed)
        for index in 0..<count {
            let replica = makeReplica()
            replicas.append(replica)
            nodes.append(network.addNode("node\(index)", replica: replica))
        }
    }

    func makeReplica() -> MemoryReplica {
        MemoryReplica(nextOrigin: { [unowned network] in .random(using: &network.random) })
    }

    /// A program writes on a node, and the node's file watch tells its engine.
    func write(_ node: Int, _ key: String, _ value: String?) {
        replicas[node].write(key, value)
        network.enter(nodes[node]) { [network] in $0.storeChanged(now: network.now) }
    }

    func fill(_ node: Int, rows: Int, prefix: String = "row") {
        for row in 0..<rows { replicas[node].write("\(prefix)\(row)", "value \(row) of \(node)") }
        network.enter(nodes[node]) { [network] in $0.storeChanged(now: network.now) }
    }

    /// Equal vectors, whole, equal digests.
    var isConverged: Bool {
        let summaries = replicas.compactMap { try? $0.summary() }
        guard summaries.count == replicas.count, let first = summaries.first else { return false }
        return summaries.allSatisfy {
            $0.vector == first.vector && $0.isWhole && $0.digest == first.digest
        }
    }

    /// Runs until all are equal and quiet; false when that takes longer.
    func converge(within limit: Milliseconds) -> Bool {
        // Looking is work, so it is done four times a second.
        let end = network.now + limit
        while network.now < end {
            network.run(for: min(250, end - network.now))
            if isConverged { return true }
        }
        return false
    }

    /// Nothing is left open, closed twice or diverged.
    ///
    /// - Parameter hasStops: processes died, with what they had open.
    func expectSound(
        _ comment: String = "", hasStops: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        for (index, replica) in replicas.enumerated() {
            let text = Comment(rawValue: "seed \(seed) node \(index) \(comment)")
            #expect(replica.closedTwice == 0, text, sourceLocation: sourceLocation)
            if !hasStops {
                #expect(replica.droppedSources == 0, text, sourceLocation: sourceLocation)
            }
            let isDivergent = nodes[index].events.contains {
                if case .divergence = $0 { return true }
                return false
            }
            #expect(!isDivergent, text, sourceLocation: sourceLocation)
        }
    }
}

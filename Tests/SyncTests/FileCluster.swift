// Nodes with real SQLite files on the simulated network, and a program that writes each file with
// plain SQL through its own connection.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Testing
import Values

final class FileCluster {
    let folder = TemporaryDirectory()
    let network: SimulatedNetwork
    let seed: UInt64
    private(set) var nodes: [SimulatedNode] = []
    private(set) var replicas: [Replica] = []
    private(set) var apps: [Connection] = []
    /// Processes that have ended: their handles are closed by nobody, as after kill -9.
    private var past: [Replica] = []

    static let schema = """
        CREATE TABLE tasks(
            id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER NOT NULL DEFAULT 0, note BLOB)
        """

    /// - Parameter owners: how many nodes have and track the table from the start; the others
    ///   get it from their peers.
    init(_ count: Int, owners: Int, seed: UInt64 = 1) throws {
        self.seed = seed
        network = SimulatedNetwork(seed: seed)
        for index in 0..<count {
            let app = try Connection(path: folder.file("n\(index).db"))
            let replica = try open(folder.file("n\(index).db"))
            if index < owners {
                try app.execute(FileCluster.schema)
                _ = try replica.track(["tasks"])
                try replica.finishScans()
            }
            apps.append(app)
            replicas.append(replica)
            nodes.append(
                network.addNode(
                    "node\(index)", replica: replica,
                    isRetryable: { ($0 as? StoreError)?.isRetryable ?? false }))
        }
    }

    func open(_ path: String) throws -> Replica {
        try Replica(
            path: path,
            environment: Replica.Environment(
                wallClock: { [unowned network] in 1_800_000_000_000 + network.now },
                random: { [unowned network] in network.random.next() }))
    }

    /// A program commits; the node's file watch tells its engine.
    func run(_ node: Int, _ sql: String, _ values: [Value] = []) throws {
        try apps[node].run(sql, values)
        network.enter(nodes[node]) { [network] in $0.storeChanged(now: network.now) }
    }

    /// The process dies and another one opens the file.
    func restart(_ node: Int) throws {
        network.stop(nodes[node])
        past.append(replicas[node])
        replicas[node] = try open(folder.file("n\(node).db"))
        network.restart(nodes[node], replica: replicas[node])
    }

    var isConverged: Bool {
        let summaries = replicas.compactMap { try? $0.summary() }
        guard summaries.count == replicas.count, let first = summaries.first else { return false }
        return summaries.allSatisfy {
            $0.vector == first.vector && $0.isWhole && $0.digest == first.digest
        }
    }

    func converge(within limit: Milliseconds) -> Bool {
        let end = network.now + limit
        while network.now < end {
            network.run(for: min(500, end - network.now))
            if isConverged { return true }
        }
        return false
    }

    func rows(_ node: Int) throws -> [[Value]] {
        try apps[node].query("SELECT id, title, done, note FROM tasks ORDER BY id")
    }

    func expectEqualTables(
        _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let first = try rows(0)
        for node in nodes.indices {
            let text = Comment(rawValue: "seed \(seed) node \(node) \(comment)")
            #expect(try rows(node) == first, text, sourceLocation: sourceLocation)
            let isDivergent = nodes[node].events.contains {
                if case .divergence = $0 { return true }
                return false
            }
            #expect(!isDivergent, text, sourceLocation: sourceLocation)
        }
    }
}

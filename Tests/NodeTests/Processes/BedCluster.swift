// Three nodes on machines of the bed, and on each a foreign program that writes all the time and
// keeps a diary of what was committed.

import Node
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

final class BedCluster {
    let flock = Flock()
    let bed: NodeBed
    let nodes: [TestNode]
    private var writers: [ChildProcess] = []
    private var random: SeededGenerator
    let seed: UInt64

    /// - Parameter environment: of the bed; see ``NodeBed``.
    init(environment: [String: String] = [:]) async throws {
        seed = FaultMode.seed
        random = SeededGenerator(seed: seed)
        nodes = try await flock.nodes("ann", "bob", "cid", schema: Scripts.tables)
        bed = try await NodeBed(
            machines: nodes.count, in: flock,
            environment: environment.merging(["BED_SEED": "\(seed)"]) { given, _ in given })
        for (index, node) in nodes.enumerated() { node.machine = bed.machine(index + 1) }
    }

    private func diary(_ node: TestNode) -> String { flock.path("diary-\(node.name)") }

    /// Starts the nodes, waits until everybody has found everybody, then lets the programs write.
    func start(secondsBetweenWrites pause: String = "0.05") async throws {
        for node in nodes { try await node.start() }
        for node in nodes {
            try await flock.until("\(node.name) finds two peers") { linked(node).count == 2 }
        }
        try await flock.converge(nodes)
        for node in nodes {
            writers.append(
                try flock.spawn(
                    [
                        Flock.python, "-c", Scripts.writer, node.file, diary(node), node.name,
                        "\(random.below(1 << 30))", pause,
                    ], name: "writer-\(node.name)"))
        }
        try await progress()
    }

    /// The peers that a node is connected with.
    func linked(_ node: TestNode) -> [JSONValue] {
        (node.facts()?["peers"]?.array ?? []).filter {
            $0["state"] == "connected" || $0["state"] == "syncing"
        }
    }

    /// Waits until every program has committed more.
    func progress() async throws {
        func sizes() -> [Int] {
            nodes.map { node in
                (Files.read(diary(node)) ?? []).split(separator: 0x0a).count {
                    $0.starts(with: Array("did".utf8))
                }
            }
        }
        let before = sizes()
        try await flock.until("everybody writes") {
            zip(before, sizes()).allSatisfy { $0 + 5 < $1 }
        }
    }

    /// Lets some time pass: `full` seconds in the long mode, `short` in CI.
    func pause(full: Int, short: Int) async throws {
        try await Task.sleep(for: .seconds(FaultMode.isFull ? full : short))
    }

    /// The programs stop writing, everybody becomes equal, and everything committed is there.
    func finish(withinSeconds: Int = 120) async throws {
        try await quiet(withinSeconds: withinSeconds)
        let found = try await flock.python(
            Scripts.checker,
            nodes.map(\.file) + ["--"] + nodes.flatMap { [$0.name, diary($0)] })
        flock.expect(found.hasPrefix("checked "), "seed \(seed): \(found.prefix(4000))")
        for (index, node) in nodes.enumerated() {
            try await bed.signal(node, on: index + 1, "TERM")
            #expect(try await node.process?.exit() == 0)
        }
        try await flock.expectProof(of: nodes)
        #expect(Set(try await shown()).count == 1, "seed \(seed): equal digests, different rows")
    }

    /// The programs stop writing, and everybody becomes equal with the network as it is.
    func quiet(withinSeconds: Int = 120) async throws {
        for writer in writers { writer.endInput() }
        for writer in writers { try await writer.exit() }
        writers = []
        try await flock.converge(nodes, withinSeconds: withinSeconds)
    }

    private func shown() async throws -> [String] {
        var all: [String] = []
        for node in nodes {
            all.append(
                try await node.sql(
                    "SELECT * FROM own ORDER BY 1; SELECT * FROM shared ORDER BY 1; "
                        + "SELECT * FROM fought ORDER BY 1"))
        }
        return all
    }
}

// How far one change travels in a large group, and what that costs: many nodes with real files and
// the overlay of the real engine, no faults, one change at a time. Printed beside published figures.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What was sent on all links; pings and pongs are left out.
struct ScaleTraffic {
    var messages = 0
    /// With the four bytes of the length that goes before each frame.
    var bytes = 0
    /// Messages that carry rows: each takes the change to one node once.
    var copies = 0
}

/// One change on its way to everybody.
struct ScaleSpread {
    /// From the commit until the last node has it.
    var milliseconds: Milliseconds
    var untilEveryone: ScaleTraffic
    /// Until nothing is said about it any more.
    var untilQuiet: ScaleTraffic
}

struct ScaleFailure: Error, CustomStringConvertible {
    var description: String
}

/// Nodes that all know of each other, as discovery would have it, and connect as they like.
final class ScaleCluster {
    /// A change that takes longer than this many delays of a link has got lost.
    static let roundsMax: Milliseconds = 60

    let count: Int
    private let folder = TemporaryDirectory()
    private let network: SimulatedNetwork
    private var nodes: [SimulatedNode] = []
    private var replicas: [Replica] = []
    private var written = 0

    private var traffic = ScaleTraffic()
    private var lastFrameAt: Milliseconds = 0
    /// The change that is on its way, and the nodes that lack it.
    private var change = Dot(Origin(high: 0, low: 0), 0)
    private var lacking: Set<Int> = []
    private var doesStand = false
    private var trouble: [String] = []

    /// Real files, each with one empty table that is tracked.
    init(_ count: Int, seed: UInt64, delay: Milliseconds) throws {
        self.count = count
        network = SimulatedNetwork(seed: seed)
        network.forgetsClosed = true
        network.latencyRange = delay...delay
        for index in 0..<count {
            try Connection(path: path(index)).execute(
                "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, text TEXT)")
            let replica = try Replica(
                path: path(index),
                environment: Replica.Environment(
                    wallClock: { [unowned network] in 1_800_000_000_000 + network.now },
                    random: { [unowned network] in network.random.next() }))
            _ = try replica.track(["notes"])
            try replica.finishScans()
            let node = network.addNode(
                hexadecimal(network.random.next()), replica: replica,
                isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
            node.engine.onEvent = { [unowned self] in happened($0, at: index) }
            replicas.append(replica)
            nodes.append(node)
        }
        network.onFrame = { [unowned self] frame, _ in sent(frame) }
    }

    private func path(_ index: Int) -> String { folder.file("\(index).db") }

    // MARK: Observation

    private func sent(_ frame: [UInt8]) {
        // The first byte of a frame is the kind of its message (Wire).
        let kind = frame.first ?? 0
        guard kind != 11, kind != 12 else { return }
        lastFrameAt = network.now
        traffic.messages += 1
        traffic.bytes += frame.count + 4
        if kind == 6 || kind == 8 { traffic.copies += 1 }
    }

    private func happened(_ event: SyncEvent, at index: Int) {
        switch event {
        case .applied:
            if replicas[index].vector[change.origin] >= change.number { lacking.remove(index) }
        case .connected, .agreement, .author, .collected: break
        case .disconnected, .refused:
            if doesStand { trouble.append("node \(index): \(event)") }
        case .divergence, .newOrigin, .joining, .joined, .reissued, .storeTrouble:
            trouble.append("node \(index): \(event)")
        }
    }

    /// Whatever a frame brings about follows within its delay and a tenth of a second.
    private var isQuiet: Bool {
        network.now - lastFrameAt > 3 * network.latencyRange.upperBound + 1_000
    }

    private func expectNoTrouble() throws {
        if let first = trouble.first { throw ScaleFailure(description: first) }
    }

    // MARK: What happens

    /// Lets everybody connect, and waits until nobody has anything more to say.
    func connect() throws {
        let peers = nodes.map {
            RememberedPeer(node: $0.name, name: $0.name, addresses: [$0.address])
        }
        lastFrameAt = network.now
        for node in nodes {
            network.enter(node) { [network] engine in
                engine.updateBook(network.now) { $0.restore(peers) }
            }
        }
        // Two neighbours on the ring to either side.
        let least = min(4, count - 1)
        let stands = network.run(for: 10 * 60_000) {
            isQuiet && nodes.allSatisfy { $0.engine.connectedPeers >= least }
        }
        guard stands else {
            throw ScaleFailure(description: "the overlay does not stand after ten minutes")
        }
        doesStand = true
        try expectNoTrouble()
    }

    var links: [Int] { nodes.map(\.engine.connectedPeers) }

    func setDelay(_ delay: Milliseconds) { network.latencyRange = delay...delay }

    /// An app inserts a row at a random node.
    func spread() throws -> ScaleSpread {
        // What the real node does every two seconds.
        for replica in replicas { try replica.checkpointIfSafe() }
        let writer = network.random.below(count)
        let replica = replicas[writer]
        let before = replica.vector[replica.origin]
        change = Dot(replica.origin, before + 1)
        lacking = Set(0..<count)
        lacking.remove(writer)
        traffic = ScaleTraffic()
        let start = network.now
        written += 1
        try Connection(path: path(writer)).run(
            "INSERT INTO notes VALUES(?1, ?2)",
            [.string(hexadecimal(network.random.next())), .string("change \(written)")])
        network.enter(nodes[writer]) { [network] in $0.storeChanged(now: network.now) }
        let limit = max(1_000, network.latencyRange.upperBound) * ScaleCluster.roundsMax
        guard network.run(for: limit, until: { lacking.isEmpty }) else {
            throw ScaleFailure(
                description: "change \(written) is missing at \(lacking.count) nodes after "
                    + "\(limit) simulated ms")
        }
        let milliseconds = network.now - start
        let untilEveryone = traffic
        guard network.run(for: limit, until: { isQuiet }) else {
            throw ScaleFailure(description: "change \(written): the nodes do not go quiet")
        }
        guard replica.vector[replica.origin] == before + 1 else {
            throw ScaleFailure(description: "change \(written) is not one change")
        }
        try expectNoTrouble()
        return ScaleSpread(
            milliseconds: milliseconds, untilEveryone: untilEveryone, untilQuiet: traffic)
    }

    /// Every file holds every change, and the same.
    func expectEqual() throws {
        let first = try replicas[0].summary()
        let sql = "SELECT id, text FROM notes ORDER BY id"
        let rows = try Connection(path: path(0)).query(sql)
        guard rows.count == written else {
            throw ScaleFailure(description: "\(rows.count) rows of \(written)")
        }
        for (index, replica) in replicas.enumerated() {
            let summary = try replica.summary()
            guard summary.isWhole, summary.vector == first.vector, summary.digest == first.digest,
                try Connection(path: path(index)).query(sql) == rows
            else { throw ScaleFailure(description: "nodes 0 and \(index) differ") }
        }
    }
}

/// `starling-sim --scale N,…`
struct ScaleRunner {
    let seed: UInt64
    static let changes = 11
    /// Far above the milliseconds that a node waits before it forwards (30 to 60): the number of
    /// delays that a change needed is how often it was handed on, up to sixteen times.
    static let roundMilliseconds: Milliseconds = 1_000

    static let help = """
        In a round a change takes one step: links have a delay of \(roundMilliseconds) ms, and the time
        from the commit until the last node has it is divided by that and rounded down. In the
        published model each node exchanges with one partner a round; here it tells all neighbours.
        "1 ms": the same on links of a local network, in milliseconds. Messages, bytes and copies of
        the change are means for one node and one change, sent until everybody has it / until all is
        quiet; pings are left out. \(changes) changes at each delay, each of a random node.
        """

    /// Push-pull, from the notes on which the design rests: median and worst number of rounds with
    /// any partner, and on an overlay of six links.
    private static let published: [Int: (any: String, overlay: String)] = [
        10: ("4 / 6", "3 / 5"), 100: ("7 / 9", "8 / 9"), 1_000: ("9 / 10", "11 / 12"),
    ]

    /// A node that tells all its neighbours is never behind one that tells one of them a round: more
    /// rounds than the published worst of a group at least as large are a defect.
    static func roundsMax(_ count: Int) -> Milliseconds {
        count <= 10 ? 5 : count <= 100 ? 9 : count <= 1_000 ? 12 : 16
    }

    func run(_ sizes: [Int]) -> Int32 {
        raiseFileLimit()
        print(
            "| nodes | links a node: least, mean, most | delay | until everyone has it, median / worst "
                + "| published, six links | published, any partner | messages | bytes | copies |")
        print("|---|---|---|---|---|---|---|---|---|")
        for size in sizes {
            let started = monotonicMilliseconds()
            do { try measure(size) } catch {
                print("\(size) nodes, seed \(seed): failed: \(error)")
                return 1
            }
            complain(
                "\(size) nodes: \((monotonicMilliseconds() - started) / 1_000) s, "
                    + "at most \(residentMegabytes()) MB of memory, seed \(seed)")
        }
        print("\n" + ScaleRunner.help)
        return 0
    }

    private func measure(_ size: Int) throws {
        let round = ScaleRunner.roundMilliseconds
        let cluster = try ScaleCluster(size, seed: seed, delay: round)
        try cluster.connect()
        let links = cluster.links
        let mean = Double(links.reduce(0, +)) / Double(size)
        let shape = "\(links.min() ?? 0), \(tenths(mean)), \(links.max() ?? 0)"

        let slow = try (0..<ScaleRunner.changes).map { _ in try cluster.spread() }
        let rounds = slow.map { $0.milliseconds / round }.sorted()
        let known = ScaleRunner.published[size] ?? ("", "")
        print(
            "| \(size) | \(shape) | 1 s | \(middle(rounds)) rounds "
                + "| \(known.overlay) | \(known.any) | \(costs(slow, size)) |")
        if let worst = rounds.last, worst > ScaleRunner.roundsMax(size) {
            throw ScaleFailure(
                description: "\(worst) rounds, more than \(ScaleRunner.roundsMax(size))")
        }

        cluster.setDelay(1)
        let fast = try (0..<ScaleRunner.changes).map { _ in try cluster.spread() }
        let times = fast.map(\.milliseconds).sorted()
        print("| | | 1 ms | \(middle(times)) ms | | | \(costs(fast, size)) |")
        try cluster.expectEqual()
    }

    // MARK: Words

    private func middle(_ sorted: [Milliseconds]) -> String {
        "\(sorted[sorted.count / 2]) / \(sorted[sorted.count - 1])"
    }

    private func costs(_ all: [ScaleSpread], _ size: Int) -> String {
        func mean(_ number: (ScaleSpread) -> Int) -> Double {
            Double(all.map(number).reduce(0, +)) / Double(all.count * size)
        }
        let messages =
            "\(tenths(mean(\.untilEveryone.messages))) / \(tenths(mean(\.untilQuiet.messages)))"
        let bytes =
            "\(Int(mean(\.untilEveryone.bytes))) / \(Int(mean(\.untilQuiet.bytes)))"
        let copies =
            "\(tenths(mean(\.untilEveryone.copies))) / \(tenths(mean(\.untilQuiet.copies)))"
        return "\(messages) | \(bytes) | \(copies)"
    }

    private func tenths(_ number: Double) -> String {
        let whole = Int((number * 10).rounded())
        return "\(whole / 10).\(whole % 10)"
    }
}

/// Each node has up to nine files open.
private func raiseFileLimit() {
    var limit = rlimit()
    #if canImport(Glibc)
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
    let resource = RLIMIT_NOFILE
    #endif
    guard getrlimit(resource, &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(resource, &limit)
}

private func residentMegabytes() -> Int {
    var usage = rusage()
    #if canImport(Glibc)
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #else
    getrusage(RUSAGE_SELF, &usage)
    #endif
    #if canImport(Darwin)
    return usage.ru_maxrss / 1_048_576
    #else
    return usage.ru_maxrss / 1_024
    #endif
}

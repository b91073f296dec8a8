// One run of one seed: machines, the network between them, the faults that the seed draws, and the
// checks after every step.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Values

/// What broke, and when.
struct SimulationFailure: Error, CustomStringConvertible {
    var step: Int
    var messages: [String]
    var description: String {
        "step \(step): " + messages.prefix(3).joined(separator: "\n  ")
            + (messages.count > 3 ? "\n  and \(messages.count - 3) more" : "")
    }
}

final class Simulation {
    /// Where simulated time begins: 2027-01-15 08:00 UTC.
    static let epoch: Int64 = 1_800_000_000_000

    let folder: TemporaryDirectory
    let seed: UInt64
    var plan: SwarmPlan
    let network: SimulatedNetwork
    /// What the world does.
    var generator: SeededGenerator
    /// What the nodes draw.
    var random: SeededGenerator
    var program: RandomProgram
    private(set) var machines: [Machine] = []
    var ghost = GhostHistory()
    var lastContent: [Int: GhostHistory.Content] = [:]
    /// What each machine has collected, as it was then.
    var collected: [Int: GhostHistory.Content] = [:]
    /// Machines whose copy is whole, and the vector that it ended with.
    var settling: [Int: VersionVector] = [:]
    /// Every origin that a machine ever wrote under.
    var originsOf: [Int: Set<Origin>] = [:]
    /// Files of earlier, as a backup program keeps them, with the vector they had.
    var backups: [Backup] = []
    /// Chunks that came once and may come again.
    var oldChunks: [(machine: Int, header: DeltaHeader, chunk: DeltaChunk)] = []
    private(set) var failures: [String] = []
    private(set) var step = 0
    private var isVerbose: Bool
    /// The machines that were there at the start.
    private(set) var foundingCount = 0
    private(set) var log: [String] = []
    private var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325
    var counts = Counts()
    /// Frames that a node still sends before it dies.
    var sendsUntilDeath: [Int: Int] = [:]
    /// The relay between the machines, where the seed has one.
    private(set) var traffic: RelayTraffic?
    /// The origin that each marker names.
    var exportedOrigin: [Int: Origin] = [:]
    /// Vector and digest pairs of whole replicas: equal vectors must mean equal digests.
    private var digests: [VersionVector: (digest: UInt64, schema: UInt64, name: String)] = [:]

    struct Counts {
        var statements = 0
        var frames = 0
        var bytes = 0
        var chunks = 0
        /// Those that stood in the relay's log.
        var logged = 0
        /// Rows of a lost origin that were issued again.
        var reissued = 0
        /// Networks that stayed apart had to come together, or they would never have become equal.
        var met = 0
        /// Times that a running node began to join again.
        var joins = 0
        /// Deleted rows that went for good.
        var collected = 0
        var faults: [Fault: Int] = [:]
    }

    struct Backup {
        var machine: Int
        var files: [(suffix: String, bytes: [UInt8])]
        var vector: VersionVector
        var collected: GhostHistory.Content
    }

    init(_ options: Options) throws {
        let seed = options.seed
        let nodes = options.nodes ?? 3
        self.seed = seed
        isVerbose = options.isLogged
        Disk.install()
        Disk.reset(seed: seed ^ 0xd15c)
        folder = TemporaryDirectory()
        enterFolder(folder.path)
        plan = SwarmPlan(
            seed: seed, nodes: nodes, with: options.with, without: options.without,
            mayCollect: options.collects, keepsMembers: options.keepsMembers)
        network = SimulatedNetwork(seed: seed)
        network.forgetsClosed = true
        generator = SeededGenerator(seed: seed &* 31)
        random = SeededGenerator(seed: seed &* 104_729)
        program = RandomProgram(generator: SeededGenerator(seed: seed &* 7_919))
        connectNetwork()
        if plan.faults.contains(.relay) { traffic = RelayTraffic(self) }
        note("faults: \(plan.faults.map(\.rawValue).sorted())")
        foundingCount = nodes
        for _ in 0..<nodes { try addMachine() }
        for machine in machines { machine.start() }
        try foundGroup()
        for machine in machines where machine.index < plan.owners {
            for table in plan.tables where table.name == plan.tables[0].name || chance(5, in: 6) {
                machine.create(table)
            }
            try machine.track()
        }
        network.discoverAll()
    }

    private func connectNetwork() {
        if plan.faults.contains(.latency) {
            network.latencyRange = 1...Milliseconds(2 + generator.below(300))
        }
        if plan.faults.contains(.slowWire) { network.bytesPerMillisecond = 5 }
        if plan.faults.contains(.resets) {
            network.resetsPerTenThousand = plan.resetsPerTenThousand
        }
        network.areApart = { [unowned self] left, right in
            machines[index(of: left)].site != machines[index(of: right)].site
        }
        network.willEnter = { [unowned self] in machines[index(of: $0)].enterNode() }
        network.didEnter = { [unowned self] in didEnter(machines[index(of: $0)]) }
        network.maySend = { [unowned self] in maySend(machines[index(of: $0)]) }
        network.onFrame = { [unowned self] frame, _ in
            counts.frames += 1
            counts.bytes += frame.count
            mix(frame)
        }
    }

    func addMachine() throws {
        let machine = Machine(machines.count, self)
        machines.append(machine)
        machine.isNew = machines.count != (plan.isFounderLast ? foundingCount : 1)
        machine.node.engine.onEvent = nil
        try machine.openApps()
    }

    /// A machine whose files are there already.
    func addMachine(copying backup: Backup) throws -> Machine {
        let machine = Machine(machines.count, self)
        machines.append(machine)
        for file in backup.files { writeFile(machine.path + file.suffix, file.bytes) }
        try machine.openApps()
        findTables(machine)
        return machine
    }

    /// Machines are named n0, n1, …
    private func index(of node: SimulatedNode) -> Int { Int(node.name.dropFirst()) ?? 0 }

    func chance(_ numerator: Int, in denominator: Int) -> Bool {
        generator.chance(numerator, in: denominator)
    }

    // MARK: Trace

    var trace: UInt64 { traceHash }

    private func mix(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { traceHash = (traceHash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }

    /// Into the trace, and into the log when one is kept.
    func note(_ text: String) {
        mix(text.utf8)
        if isVerbose { log.append("\(network.now) \(text)") }
    }

    /// Into the log only: it is long to say.
    func explain(_ text: () -> String) {
        if isVerbose { log.append("\(network.now) \(text())") }
    }

    func fail(_ messages: [String], _ machine: Machine? = nil) {
        for message in messages {
            failures.append(machine.map { "\($0.name): \(message)" } ?? message)
        }
    }

    func fail(_ message: String) { fail([message]) }

    func throwIfFailed() throws {
        if !failures.isEmpty { throw SimulationFailure(step: step, messages: failures) }
    }

    // MARK: Steps

    func run(steps: Int) throws {
        for _ in 0..<steps {
            step += 1
            try act()
            let pause = Milliseconds(generator.below(plan.pauseMax + 1))
            network.run(for: pause) { !self.failures.isEmpty }
            try throwIfFailed()
            if step % 100 == 0 { try inspect() }
        }
        step += 1
        try heal()
        try throwIfFailed()
    }

    private func act() throws {
        if generator.below(1_000) < plan.faultsPerThousand, !plan.faults.isEmpty {
            let menu = Fault.allCases.filter { plan.faults.contains($0) }
            let fault = menu[generator.below(menu.count)]
            counts.faults[fault, default: 0] += 1
            return try strike(fault, machines[generator.below(machines.count)])
        }
        let machine = machines[generator.below(machines.count)]
        switch generator.below(40) {
        case 0: try settleConflict(machine)
        case 1: try attempt { try machine.track() }
        case 2: network.discoverAll()
        case 3: takeBackup(machine)
        default: machine.write()
        }
    }

    /// A failure of the store that the plan of faults explains.
    func attempt(_ body: () throws -> Void) throws {
        do { try body() } catch let error as StoreError
            where error.isRetryable || error.code == .disk || error.code == .notFound
        {
            note("not now: \(error.code)")
        } catch is ProcessDied {
            note("died")
        }
    }

    /// Restores or dismisses, as a person does who saw the list a moment ago.
    private func settleConflict(_ machine: Machine) throws {
        guard let observed = machine.observed else { return }
        try attempt {
            try observed.local { try observed.inner.fold() }
            machine.enterNode()
            let items = try observed.inner.conflicts()
            guard !items.isEmpty else { return }
            let item = items[generator.below(items.count)]
            let isRestore = chance(1, in: 2)
            note("\(machine.name) \(isRestore ? "restores" : "dismisses") \(item.kind) \(item.id)")
            try observed.local {
                if isRestore {
                    try observed.inner.restoreConflict(item.id)
                } else {
                    try observed.inner.dismissConflict(item.id)
                }
            }
            committed(machine)
        }
        bury(machine)
    }

    // MARK: What machines tell

    /// A program has committed; the watch on the folder tells the node after a moment.
    func committed(_ machine: Machine) {
        counts.statements += 1
        let node = machine.node
        let life = node.life
        network.schedule(at: network.now + Milliseconds(generator.below(4))) { [unowned self] in
            guard node.life == life else { return }
            network.enter(node) { $0.storeChanged(now: self.network.now) }
        }
    }

    func received(_ chunk: DeltaChunk, of header: DeltaHeader, at machine: Machine) {
        // Those who were removed and do not know go on as a group of their own.
        if !machine.isRemoved { counts.chunks += 1 }
        guard plan.faults.contains(.replay) else { return }
        oldChunks.append((machine.index, header, chunk))
        if oldChunks.count > 40 { oldChunks.removeFirst() }
    }

    /// Large clusters are looked at now and then, small ones after every delivery.
    func shouldLook() -> Bool { machines.count <= 3 || chance(1, in: 8) }

    /// A peer's schema was taken up.
    func learnTables(_ machine: Machine) {
        findTables(machine)
        machine.enterNode()
    }

    /// The tables that are in the file now: a flush too few, and one that was made is gone.
    func findTables(_ machine: Machine) {
        machine.enterApp()
        for table in plan.tables {
            guard
                let found = try? machine.strict?.query("PRAGMA table_info(\(table.quotedName))")
            else { continue }
            if found.isEmpty {
                machine.tables.remove(table.name)
            } else {
                machine.tables.insert(table.name)
            }
        }
    }

    /// Into the log: in which rows two replicas differ.
    private func explainDifference(_ machine: Machine, _ other: Machine?) {
        guard let replica = machine.replica, let other = other?.replica else { return }
        explain {
            guard let mine = try? GhostHistory.content(replica),
                let theirs = try? GhostHistory.content(other)
            else { return "the replicas cannot be read" }
            return "what the other has becomes here\n" + GhostHistory.difference(theirs, mine)
        }
    }

    /// Invariant 1, at every summary: equal vectors of whole nodes mean equal digests.
    func compare(_ summary: ReplicaSummary, of machine: Machine) {
        guard summary.isWhole else { return }
        if let known = digests[summary.vector] {
            if known.digest != summary.digest, known.schema == summary.schemaFingerprint {
                fail(["another digest than \(known.name) at the same vector"], machine)
                explainDifference(machine, machines.first { $0.name == known.name })
            }
        } else {
            digests[summary.vector] = (summary.digest, summary.schemaFingerprint, machine.name)
            if digests.count > 2_000 { digests.removeAll() }
        }
    }
}

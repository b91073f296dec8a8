// The menu of faults, and what one seed draws from it: which are on, how strong they are, how the
// cluster looks.

import TestKit

/// One kind of fault; its name is what `--without` takes.
enum Fault: String, CaseIterable {
    // Network.
    case latency, resets, slowWire, partition, oneWay, halves, halfOpen, isolate, replay
    // Process.
    case kill, killAtCall, killAtSend, stop, freeze, appKill
    // Disk.
    case powerLoss, diskFull, diskError, lock
    // Time.
    case clockJump, clockFreeze, clockDrift, clock1970
    // Identity.
    case restore, clone, newOrigin
    // Members.
    case evict, role, remove
    // Schema.
    case addColumn, lateTable, rebuild
    // A relay, and what it does; two networks which only the relay connects.
    case relay, apart
}

/// What a seed draws.
struct SwarmPlan {
    /// What only a group with a list of members knows.
    private static let ofMembers: Set<Fault> = [.evict, .role, .remove, .relay, .apart]

    var faults: Set<Fault> = []
    /// Steps of 1,000 in which a fault strikes, all faults together.
    var faultsPerThousand = 0
    /// The longest pause between two steps, in simulated milliseconds.
    var pauseMax = 0
    /// Chance in 10,000 that a frame breaks its connection.
    var resetsPerTenThousand = 0
    var tables: [RandomTable] = []
    /// How many nodes have a table from the beginning.
    var owners = 1
    var bounds = (chunkRows: 1_500, chunkBytes: 256 * 1024, foldEntries: 2_000, scanRows: 2_000)
    var parkedEagerMax = 1_000
    /// True: the ghost history follows every local change, and is asked at every step.
    var hasGhost = true
    /// There is a list of members that says who takes part.
    var keepsMembers = false
    var isFounderLast = false
    /// The networks stay apart to the end.
    var staysApart = false
    /// Deleted rows are collected.
    var collects = false
    /// Pages after which programs checkpoint by themselves.
    var checkpointPages = 1_000

    /// Nodes drift apart for long, and what they then send breaks off again and again.
    private mutating func breakTransfers(
        _ generator: inout SeededGenerator, _ without: Set<Fault>
    ) {
        faults.formUnion([.resets, .halves, .isolate, .latency])
        faults.subtract(without)
        faultsPerThousand = 60 + generator.below(200)
        pauseMax = 60
        resetsPerTenThousand = 300 + generator.below(2_500)
        bounds.chunkRows = 1 + generator.below(2)
        bounds.chunkBytes = 40
    }

    init(
        seed: UInt64, nodes: Int, with wanted: Set<Fault>, without: Set<Fault>,
        mayCollect: Bool = true, keepsMembers wantedMembers: Bool? = nil
    ) {
        var generator = SeededGenerator(seed: seed ^ 0x5eed)
        let isDrawn = generator.chance(3, in: 4)
        keepsMembers = wantedMembers ?? isDrawn
        let menu = Fault.allCases.filter {
            // Drawn last, so that the seeds from before it still mean what they did, without it.
            ![.remove, .relay, .apart].contains($0)
                && (keepsMembers || !Self.ofMembers.contains($0))
        }
        for fault in menu where generator.chance(2, in: 5) { faults.insert(fault) }
        // Some seeds see only one kind, some none.
        switch generator.below(12) {
        case 0: faults = []
        case 1: faults = [menu[generator.below(menu.count)]]
        default: break
        }
        faults.formUnion(wanted)
        faults.subtract(without)
        faultsPerThousand = [20, 80, 200][generator.below(3)]
        resetsPerTenThousand = 20 + generator.below(400)
        pauseMax = [5, 60, 600, 8_000][generator.below(4)]
        tables = RandomTable.all.filter { _ in generator.chance(1, in: 2) }
        if tables.isEmpty { tables = [RandomTable.all[generator.below(3)]] }
        if tables.contains(where: { $0.name == "children" }),
            !tables.contains(where: { $0.name == "parents" })
        {
            tables.append(RandomTable.all[3])
        }
        owners = 1 + generator.below(nodes)
        if generator.chance(1, in: 2) {
            bounds.chunkRows = 1 + generator.below(5)
            bounds.chunkBytes = generator.chance(1, in: 3) ? 40 : 100_000
            bounds.foldEntries = 2 + generator.below(6)
            bounds.scanRows = 1 + generator.below(5)
            parkedEagerMax = generator.chance(1, in: 3) ? 0 : 1_000
        }
        if generator.chance(1, in: 3) { breakTransfers(&generator, without) }
        hasGhost = generator.chance(3, in: 4)
        checkpointPages = [1_000, 30, 1][generator.below(3)]
        if !keepsMembers { faults.subtract(Self.ofMembers) }
        isFounderLast = generator.chance(1, in: 2)
        if keepsMembers, !faults.isEmpty, !without.contains(.remove), generator.chance(1, in: 4) {
            faults.insert(.remove)
        }
        var relays = SeededGenerator(seed: seed ^ 0x0e1a_9000)
        if keepsMembers, !faults.isEmpty, !without.contains(.relay), relays.chance(1, in: 3) {
            faults.insert(.relay)
        }
        if faults.contains(.relay), !without.contains(.apart), relays.chance(1, in: 2) {
            faults.insert(.apart)
            staysApart = relays.chance(1, in: 2)
        }
        if !faults.contains(.relay) { faults.remove(.apart) }
        guard mayCollect else { return }
        // Without a list of members a file of yesterday cannot join again.
        let returns: Set<Fault> = [.restore, .clone]
        if !keepsMembers, wanted.isDisjoint(with: returns), generator.chance(1, in: 2) {
            faults.subtract(returns)
        }
        collects = keepsMembers || faults.isDisjoint(with: returns)
    }
}

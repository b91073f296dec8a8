// One simulated machine: a clock, a folder on the simulated disk, programs that write the file, and
// a node with the real store, the real marker and the real sessions.

import CausalModel
import Node
import SQLite
import Store
import Sync
import TestKit
import TestNetwork

final class Machine {
    let index: Int
    let name: String
    let folder: String
    let node: SimulatedNode
    unowned let simulation: Simulation

    // The clock: a line through simulated time.
    private var clockBase: Int64
    private var clockSetAt: Milliseconds
    /// Milliseconds of this clock in 1,000 of the world's.
    private var clockRate: Int64 = 1_000
    private(set) var boots = 1

    // Processes.
    private(set) var appProcess: DiskProcess
    private(set) var nodeProcess: DiskProcess?
    private var buried: DiskProcess?
    private(set) var strict: Connection?
    private(set) var lax: Connection?
    private(set) var observed: ObservedReplica?
    private var marker: Marker?
    private(set) var members: SimulatedMembers?
    /// Its side of the relay, where there is one.
    private(set) var forwarding: Forwarding?
    private var lastMembership: Membership?
    private var membersFailedAt: Milliseconds?
    /// It was let in by somebody, and has not begun to join.
    var isNew = false
    /// Somebody removed it from the group.
    var isRemoved = false
    /// The network that it is on.
    var site = 0
    private var remembered: [RememberedPeer] = []
    /// The node could not start; it is tried again.
    private(set) var startFailure: String?
    /// Tables that programs here have made or found.
    var tables: Set<String> = []
    /// A program holds the write lock until this moment.
    var lockedUntil: Milliseconds?
    /// The disk fails or is full until this moment.
    var diskTroubleUntil: Milliseconds?
    var isScanPlanned = false
    var hasStoreTrouble = false

    init(_ index: Int, _ simulation: Simulation) {
        self.index = index
        self.simulation = simulation
        name = "n\(index)"
        folder = simulation.folder.file(name)
        makeFolder(folder)
        appProcess = .spawn()
        clockBase = Simulation.epoch
        clockSetAt = simulation.network.now
        node = simulation.network.addNode(
            name, replica: NoReplica(),
            isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
        simulation.network.stop(node)
    }

    /// Relative, since it stands in messages, and the trace must be the same wherever a run takes
    /// place.
    var path: String { "\(name)/app.db" }
    var replica: Replica? { observed?.inner }

    // MARK: Clock

    var wallClock: Int64 {
        clockBase + (simulation.network.now - clockSetAt) * clockRate / 1_000
    }

    func setClock(to time: Int64, rate: Int64? = nil) {
        clockBase = time
        clockSetAt = simulation.network.now
        clockRate = rate ?? clockRate
    }

    func enterApp() { appProcess.run(at: wallClock) }
    func enterNode() { (nodeProcess ?? appProcess).run(at: wallClock) }

    // MARK: Programs

    func openApps() throws {
        enterApp()
        let mode = simulation.generator.chance(1, in: 2) ? "NORMAL" : "FULL"
        for isStrict in [true, false] {
            let app = try Connection(path: path)
            try app.execute(
                """
                PRAGMA journal_mode = WAL; PRAGMA synchronous = \(mode);
                PRAGMA wal_autocheckpoint = \(simulation.plan.checkpointPages);
                PRAGMA foreign_keys = \(isStrict ? "ON" : "OFF")
                """)
            if isStrict { strict = app } else { lax = app }
        }
    }

    /// kill -9 of the programs: what they have open is gone.
    func killApps() {
        appProcess.kill()
        enterApp()
        strict = nil
        lax = nil
        lockedUntil = nil
        precondition(appProcess.openFiles == 0, "a dead program has files open")
        appProcess = .spawn()
    }

    // MARK: The node

    /// Starts the process; on failure it is tried again in a second.
    func start() {
        precondition(observed == nil)
        expectBuried()
        let process = DiskProcess.spawn()
        nodeProcess = process
        enterNode()
        do {
            let replica = try Replica(
                path: path,
                environment: Replica.Environment(
                    wallClock: { [unowned self] in wallClock },
                    random: { [unowned simulation] in simulation.random.next() }))
            replica.busyMilliseconds = 0
            simulation.plan.apply(to: replica)
            let observed = ObservedReplica(replica, self)
            try observed.afterStart {
                marker = try Marker(
                    home: Home(path: folder), replica: replica,
                    random: { self.simulation.random.next() }, boot: "boot \(boots)",
                    rejoins: simulation.plan.keepsMembers)
                if isNew, simulation.plan.keepsMembers {
                    if !replica.isJoining { try replica.beginJoining(because: "it was let in") }
                    isNew = false
                }
            }
            if replica.isJoining { simulation.forgetChunks(of: self) }
            if simulation.plan.keepsMembers {
                let members = try observed.local { try SimulatedMembers(self, replica) }
                try observed.local { try members.prepare() }
                self.members = members
            }
            if let traffic = simulation.traffic {
                forwarding = try Forwarding(self, observed, traffic)
            }
            self.observed = observed
            if let reason = replica.problems["origin"] { simulation.note("\(name) \(reason)") }
            simulation.watchExports(self)
            keepMarker()
            startFailure = nil
            hasStoreTrouble = false
        } catch {
            marker = nil
            forwarding = nil
            startFailure = "\(error)"
            simulation.note("\(name) does not start: \(error)")
            process.kill()
            nodeProcess = nil
            let node = node
            simulation.network.schedule(at: simulation.network.now + 1_000) { [unowned self] in
                if nodeProcess == nil, node.life == self.node.life, isPowered { start() }
            }
            return
        }
        simulation.network.restart(node, replica: observed, remembered: remembered)
        simulation.network.enter(node) { [network = simulation.network] in
            $0.storeChanged(now: network.now)
        }
        simulation.planRounds(self)
    }

    /// As the file says, or said when it could be read last.
    func lookAtMembers() -> Membership? {
        enterNode()
        do { lastMembership = try members?.look() } catch {
            // How often it is asked in one moment is nothing that happens.
            let now = simulation.network.now
            if membersFailedAt != now {
                simulation.note("\(name) cannot read its members: \(error)")
            }
            membersFailedAt = now
        }
        return lastMembership
    }

    func noteJoined(_ node: String, _ origin: Origin, isAlone: Bool) throws {
        guard let members, let observed else { return }
        enterNode()
        try members.noteJoined(node, origin, isAlone: isAlone)
        _ = try observed.summary()
    }

    /// A peer said what it numbers under.
    func noteAuthor(_ origin: Origin, _ node: String) {
        guard let members, let observed else { return }
        enterNode()
        do {
            try observed.noteAuthor(origin, node)
            members.lookAgain()
        } catch { simulation.note("\(name) cannot note an author: \(error)") }
    }

    /// The marker as it was flushed last: its later writes may be lost with the power.
    private var flushedMarker: [UInt8]?

    func keepMarker() { flushedMarker = readFile("\(folder)/marker") }

    private(set) var isPowered = true

    /// Called when the node's process has died: lets go of all it had, as the kernel does.
    func buryNode() {
        guard let process = nodeProcess else { return }
        process.kill()
        enterNode()
        simulation.network.stop(node)
        remembered = simulation.network.bury(node)
        observed = nil
        marker = nil
        members = nil
        forwarding = nil
        lastMembership = nil
        nodeProcess = nil
        isScanPlanned = false
        buried = process
    }

    /// What the dead process had open is closed by now: nothing of it lives on.
    func expectBuried() {
        guard let process = buried, process.openFiles != 0 else { return }
        simulation.fail(["a dead node has \(process.openFiles) files open"], self)
    }

    /// An orderly stop, as by SIGTERM.
    func stopNode() {
        guard let observed, let marker else { return }
        enterNode()
        simulation.network.enter(node) { [network = simulation.network] in
            $0.shutDown(network.now)
        }
        enterNode()
        do {
            _ = try observed.summary()
            try marker.close(observed.inner)
            keepMarker()
        } catch { simulation.note("\(name) stops with \(error)") }
        if nodeProcess != nil { buryNode() }
    }

    /// Everything stops at once; what was not flushed may be lost.
    func losePower() -> Int {
        isPowered = false
        buryNode()
        expectBuried()
        killApps()
        remembered = []
        if let flushedMarker, simulation.chance(1, in: 2) {
            writeFile("\(folder)/marker", flushedMarker)
        }
        let lost = Disk.losePower(below: folder + "/", seed: simulation.generator.next())
        removeFile(path + "-shm")
        boots += 1
        return lost
    }

    func powerUp() throws {
        isPowered = true
        try openApps()
        simulation.findTables(self)
        start()
    }

    /// Every two seconds, as the real node does.
    func housekeeping() {
        guard let observed, let marker else { return }
        enterNode()
        if marker.isFileReplaced() {
            simulation.note("\(name) finds its file replaced")
            return buryNode()
        }
        do { try observed.inner.checkpointIfSafe() } catch {
            simulation.note("\(name) cannot checkpoint: \(error)")
        }
        if hasStoreTrouble {
            do {
                try observed.inner.setNonce(observed.inner.nonce ?? 0)
                hasStoreTrouble = false
                simulation.network.enter(node) { [network = simulation.network] in
                    $0.syncNow(network.now)
                }
            } catch { simulation.note("\(name): the disk is still in trouble") }
        }
    }
}

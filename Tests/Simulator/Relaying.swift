// A relay between the machines that loses, repeats, reorders, changes, hides and forgets; and each node's
// side of it: the real forwarder, driven as the real node drives it.

import CausalModel
import RelayProtocol
import Store
import Sync
import TestKit
import TestNetwork

/// The relay, and the way to it.
final class RelayTraffic {
    unowned let simulation: Simulation
    let relay: SimulatedRelay
    var generator: SeededGenerator
    let limits: ForwarderLimits
    let urgent: [String]
    private var waiting: [() -> Bool] = []
    /// Machines without a way to it.
    private var cutOff: Set<Int> = []

    init(_ simulation: Simulation) {
        self.simulation = simulation
        generator = SeededGenerator(seed: simulation.seed &* 15_485_863)
        relay = SimulatedRelay(seed: simulation.seed ^ 0x5eed)
        relay.readers = (0..<12).map { "n\($0)" }
        var limits = ForwarderLimits()
        limits.batchEntriesMax = 1 + generator.below(6)
        limits.snapshotEntriesMin = 10 + generator.below(60)
        limits.snapshotBytesMin = 100
        limits.urgentChangesMin = 2
        limits.wantMilliseconds = 1_000...60_000
        limits.standingMilliseconds = 10_000...60_000
        limits.standbyMilliseconds = 20_000
        limits.askMilliseconds = 5_000...60_000
        limits.standInMilliseconds = 60_000
        limits.collectMilliseconds = 60_000
        self.limits = limits
        urgent = generator.chance(1, in: 2) ? simulation.plan.tables.suffix(1).map(\.name) : []
    }

    func strike(_ machine: Machine) {
        switch generator.below(12) {
        case 0: relay.rollBack(to: generator.below(relay.log.count + 1))
        case 1: relay.startAnew()
        case 2: relay.letGo(before: relay.snapshots.last.map { Int($0.covers.number) } ?? 0)
        case 3: relay.isDown.toggle()
        case 4, 5: cutOff.formSymmetricDifference([machine.index])
        case 6, 7: relay.faults = SimulatedRelay.Faults()
        default:
            let percent = 1 + generator.below(30)
            switch generator.below(8) {
            case 0: relay.faults.lostRequest = percent
            case 1: relay.faults.lostAnswer = percent
            case 2: relay.faults.swallowed = percent
            case 3: relay.faults.replayed = percent
            case 4: relay.faults.swapped = percent
            case 5: relay.faults.tampered = percent
            case 6: relay.faults.hidden = percent
            default: relay.faults.cutBack = percent
            }
        }
        wake()
    }

    func heal() {
        relay.faults = SimulatedRelay.Faults()
        relay.isDown = false
        cutOff = []
        wake()
    }

    /// Takes a request to the relay, and its answer back, each after a while.
    func send(
        _ request: LogRequest, of machine: Machine, _ done: @escaping (LogReply) -> Void
    ) {
        let network = simulation.network
        let end = network.now + 55_000
        func answer(_ reply: LogReply) {
            network.schedule(at: network.now + network.latency()) { done(reply) }
        }
        /// False while there is nothing to tell.
        func ask() -> Bool {
            guard !cutOff.contains(machine.index) else {
                answer(.failed)
                return true
            }
            let reply = relay.answer(request, of: machine.name)
            if request.isWaiting, network.now < end, case .synced(let found) = reply,
                found.items.isEmpty, case .sync(let after, _, _) = request.kind,
                found.position == after
            {
                return false
            }
            answer(reply)
            return true
        }
        network.schedule(at: network.now + network.latency()) { [unowned self] in
            guard !ask() else { return wake() }
            waiting.append(ask)
            network.schedule(at: end) { [unowned self] in wake() }
        }
    }

    /// Whoever waits is told what there is by now.
    private func wake() {
        let asking = waiting
        waiting = []
        waiting += asking.filter { !$0() }
    }
}

/// One process's side of the relay.
final class Forwarding {
    private unowned let machine: Machine
    private unowned let traffic: RelayTraffic
    private let forwarder: Forwarder
    private let seal: PlainSeal
    private let life: Int
    private var seen: ReplicaSummary?
    private var roles: [String: Membership.Role]?
    private var hasApplied = false
    private var hasAnswered = false
    private var saysItForwards = false
    private var failuresInRow = 0
    private var nextTry: Milliseconds = 0
    private var plannedAt: Milliseconds?
    private var turns = (at: Milliseconds.min, count: 0)

    private var simulation: Simulation { machine.simulation }
    private var now: Milliseconds { simulation.network.now }

    init(_ machine: Machine, _ observed: ObservedReplica, _ traffic: RelayTraffic) throws {
        self.machine = machine
        self.traffic = traffic
        // The network counts another life when the node runs.
        life = machine.node.life + 1
        seal = PlainSeal(author: machine.name)
        forwarder = try Forwarder(
            node: machine.name, replica: observed, seal: seal, log: [7],
            random: { [unowned traffic] in traffic.generator.next() },
            isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
        forwarder.limits = traffic.limits
        forwarder.urgentTables = traffic.urgent
        forwarder.mayWrite = { [unowned machine] node in
            machine.lookAtMembers()?.roles[node] == .writer
        }
        forwarder.standing = { [unowned machine] author, start in
            machine.node.engine.standing(ofAuthor: author, start)
        }
        forwarder.isPresent = { [unowned machine] author, origin in
            machine.node.engine.isPresent(author, origin)
        }
        forwarder.claim = { [unowned machine] in machine.node.engine.ownClaim }
        forwarder.letIn = { [unowned self] node, origin in
            hasApplied = true
            return machine.node.engine.letIn(node, origin, now: now)
        }
        forwarder.isServedNearby = { [unowned machine] in machine.node.engine.isCopyNear }
        forwarder.copyWanted = { [unowned self] in machine.node.engine.copyWanted(now: now) }
        forwarder.onEvent = { [unowned self] in note($0) }
        forwarder.reports = { [unowned self] in
            do { return try machine.node.engine.reportsOfLinked(now) } catch { return [] }
        }
        forwarder.onReports = { [unowned self] reports in
            do { try machine.node.engine.take(reports, now) } catch {
                simulation.note("\(machine.name) cannot take reports: \(error)")
            }
            hasApplied = true
        }
    }

    private func note(_ event: SyncEvent) {
        switch event {
        case .applied(_, let rows, let hasChanged):
            if rows > 0 || hasChanged { hasApplied = true }
        case .newOrigin: hasApplied = true
        case .author(let node, let origin): machine.noteAuthor(origin, node)
        case .storeTrouble(let reason):
            simulation.note("\(machine.name): \(reason)")
            machine.hasStoreTrouble = true
        default: break
        }
    }

    /// Looks at what is to be done, then or before.
    func plan(at time: Milliseconds) {
        if let plannedAt, plannedAt <= time { return }
        plannedAt = time
        simulation.network.schedule(at: time) { [weak self] in
            guard let self, plannedAt == time else { return }
            plannedAt = nil
            turn()
        }
    }

    private var isAlive: Bool {
        machine.forwarding === self && machine.node.life == life
            && machine.nodeProcess?.isDead == false
    }

    private func turn() {
        guard isAlive, !machine.node.isFrozen, let replica = machine.replica else { return }
        machine.enterNode()
        pump(replica)
        simulation.bury(machine)
    }

    /// As the service of the real node does it.
    private func pump(_ replica: Replica) {
        let engine = machine.node.engine
        look()
        if let own = engine.own, own != seen {
            seen = own
            forwarder.replicaChanged(own)
        }
        let isWaiting = replica.isJoining && !replica.isSettling
        guard isWaiting || engine.takesPart else { return say(false) }
        let isWorking =
            !isWaiting && hasAnswered && failuresInRow == 0 && forwarder.trouble == nil
            && roles?[machine.name] == .writer
        say(isWorking)
        guard isAlive else { return }
        forwarder.isStandingBy =
            isWorking && engine.forwardingPeers.contains { $0 < machine.name }
        machine.enterNode()
        let hasWorked = forwarder.work(now)
        guard isAlive else { return }
        if hasApplied {
            hasApplied = false
            enter { [unowned self] in $0.storeChanged(now: now) }
            guard isAlive else { return }
        }
        machine.enterNode()
        if let other = forwarder.takeOutdated() {
            enter { [unowned self] in $0.foundOutdated(by: other, now: now) }
            guard isAlive else { return }
            return planTurn()
        }
        if hasWorked { return planTurn() }
        if now >= nextTry {
            for request in forwarder.takeRequests(now) {
                guard simulation.maySend(machine) else { return }
                traffic.send(request, of: machine) { [weak self] in self?.answered(request, $0) }
            }
        }
        if let due = forwarder.nextDeadline(now) { plan(at: max(due, nextTry, now + 1)) }
    }

    private func enter(_ action: @escaping (SyncEngine) -> Void) {
        simulation.network.enter(machine.node, action)
    }

    private func planTurn() {
        turns = turns.at == now ? (now, turns.count + 1) : (now, 1)
        if turns.count > 20_000 { simulation.fail(["works on the log without end"], machine) }
        plan(at: now)
    }

    private func say(_ forwards: Bool) {
        guard forwards != saysItForwards else { return }
        saysItForwards = forwards
        enter { [unowned self] in $0.setForwards(forwards, now: now) }
    }

    /// Who may be read, by the list as it is now.
    private func look() {
        let isWaiting = machine.replica?.isJoining == true
        guard let known = machine.lookAtMembers(),
            known.roles != roles || isWaiting != (seal.members == nil)
        else { return }
        roles = known.roles
        // Of half a list the rest is believed.
        seal.members = isWaiting ? nil : Set(known.roles.keys)
        seal.removed = Set(
            simulation.machines.map(\.name).filter {
                known.roles[$0] == nil && (try? machine.members?.wasMember($0)) == true
            })
        forwarder.trustChanged()
    }

    private func answered(_ request: LogRequest, _ reply: LogReply) {
        guard isAlive else { return }
        // What a frozen process was sent waits for it.
        guard !machine.node.isFrozen else {
            return simulation.network.schedule(at: now + 500) { [weak self] in
                self?.answered(request, reply)
            }
        }
        machine.enterNode()
        if case .failed = reply {
            failuresInRow += 1
            nextTry = now + min(15 * 60_000, 1_000 << Milliseconds(min(failuresInRow, 20)))
        } else {
            failuresInRow = 0
            hasAnswered = true
        }
        forwarder.answered(request.id, reply, now: now)
        plan(at: max(now, nextTry))
    }
}

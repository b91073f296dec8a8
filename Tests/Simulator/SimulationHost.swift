// What the real node's loop does around its engine, in simulated time: scans in slices, a round
// every thirty seconds, housekeeping; and the end of a process at any of its calls.

import Store
import Sync
import TestKit
import TestNetwork

extension SwarmPlan {
    func apply(to replica: Replica) {
        replica.bounds.chunkRowsMax = bounds.chunkRows
        replica.bounds.chunkBytesMax = bounds.chunkBytes
        replica.bounds.foldEntriesMax = bounds.foldEntries
        replica.bounds.scanRowsMax = bounds.scanRows
        replica.bounds.collectRowsMax = bounds.scanRows
        replica.bounds.parkedEagerMax = parkedEagerMax
        // Most files are small here: cut at every checkpoint that can.
        replica.bounds.logBytesMax = 64 << 10
    }
}

extension Simulation {
    /// After every entry into an engine.
    func didEnter(_ machine: Machine) {
        bury(machine)
        planScan(machine)
        machine.forwarding?.plan(at: network.now)
    }

    /// Lets a process go that died in the call before.
    func bury(_ machine: Machine) {
        guard let process = machine.nodeProcess, process.isDead else { return }
        note("\(machine.name): the node died")
        machine.buryNode()
        restartLater(machine)
    }

    func restartLater(_ machine: Machine) {
        let delay = Milliseconds(50 + generator.below(5_000))
        network.schedule(at: network.now + delay) { [unowned self] in
            guard machine.nodeProcess == nil, machine.isPowered else { return }
            start(machine)
        }
    }

    func start(_ machine: Machine) {
        machine.start()
        guard machine.nodeProcess != nil else { return }
        note("\(machine.name) runs")
        for other in machines where other !== machine {
            network.discover(other.node, machine.node)
            network.discover(machine.node, other.node)
        }
    }

    /// False once the process is dead: its code runs on to its end, without effect.
    func maySend(_ machine: Machine) -> Bool {
        guard let process = machine.nodeProcess, !process.isDead else { return false }
        if let left = sendsUntilDeath[machine.index] {
            if left == 0 {
                sendsUntilDeath[machine.index] = nil
                note("\(machine.name) dies before it sends")
                process.kill()
                return false
            }
            sendsUntilDeath[machine.index] = left - 1
        }
        return true
    }

    /// Deaths just before and just after the marker is told what leaves next.
    func watchExports(_ machine: Machine) {
        guard let replica = machine.replica, let inner = replica.willExport else { return }
        exportedOrigin[machine.index] = replica.origin
        replica.willExport = { [unowned self, unowned machine, unowned replica] origin, number in
            if plan.faults.contains(.killAtCall), chance(1, in: 400) {
                note("\(machine.name) dies before its marker is written")
                machine.nodeProcess?.kill()
                throw ProcessDied()
            }
            let isNewOrigin = replica.origin != exportedOrigin[machine.index]
            try inner(origin, number)
            if isNewOrigin { machine.keepMarker() }
            exportedOrigin[machine.index] = replica.origin
            if plan.faults.contains(.killAtCall), chance(1, in: 400) {
                note("\(machine.name) dies after its marker was written")
                machine.nodeProcess?.kill()
                throw ProcessDied()
            }
        }
    }

    private func planScan(_ machine: Machine) {
        guard let replica = machine.replica, !machine.isScanPlanned, replica.isScanning else {
            return
        }
        machine.isScanPlanned = true
        let life = machine.node.life
        network.schedule(at: network.now + 1) { [unowned self] in
            guard machine.node.life == life, let observed = machine.observed else { return }
            machine.isScanPlanned = false
            if machine.node.isFrozen { return }
            do { try observed.local { _ = try observed.inner.scanSlice() } } catch {
                note("\(machine.name) cannot scan: \(error)")
            }
            bury(machine)
            network.enter(machine.node) { $0.storeChanged(now: self.network.now) }
        }
    }

    /// The rounds of one process: they end with it.
    func planRounds(_ machine: Machine) {
        machine.node.engine.collectsDeletedRows = plan.collects
        machine.node.engine.membership = { [unowned self, unowned machine] in
            guard plan.keepsMembers else {
                return Membership(
                    roles: Dictionary(uniqueKeysWithValues: machines.map { ($0.name, .writer) }))
            }
            return machine.lookAtMembers()
        }
        machine.node.engine.noteJoined = {
            [unowned self, unowned machine] node, origin, isAlone in
            note("\(machine.name) notes that \(node) has joined")
            try machine.noteJoined(node, origin, isAlone: isAlone)
        }
        machine.node.engine.onEvent = { [unowned self, unowned machine] event in
            switch event {
            case .divergence(let node): fail(["diverged from \(node)"], machine)
            case .storeTrouble(let reason):
                note("\(machine.name): \(reason)")
                machine.hasStoreTrouble = true
            case .author(let node, let origin): machine.noteAuthor(origin, node)
            case .refused, .disconnected, .connected: explain { "\(machine.name): \(event)" }
            default: break
            }
        }
        let life = machine.node.life
        repeatRound(machine, life, every: 2_000) { $0.housekeeping() }
        repeatRound(machine, life, every: 30_000) { [unowned self] machine in
            network.enter(machine.node) { $0.storeChanged(now: self.network.now) }
        }
    }

    private func repeatRound(
        _ machine: Machine, _ life: Int, every gap: Milliseconds,
        _ body: @escaping (Machine) -> Void
    ) {
        network.schedule(at: network.now + gap) { [unowned self, unowned machine] in
            guard machine.node.life == life, machine.observed != nil else { return }
            if !machine.node.isFrozen {
                body(machine)
                bury(machine)
                if machine.nodeProcess == nil { restartLater(machine) }
            }
            repeatRound(machine, life, every: gap, body)
        }
    }
}

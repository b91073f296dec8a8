// How each fault of the menu strikes.

import CausalModel
import Store
import Sync
import TestKit
import TestNetwork

extension Simulation {
    func strike(_ fault: Fault, _ machine: Machine) throws {
        note("\(fault) at \(machine.name)")
        let other = machines[generator.below(machines.count)]
        switch fault {
        case .latency, .resets, .slowWire: break  // Always on once drawn.
        case .partition, .oneWay, .halves, .halfOpen, .isolate: strikeNetwork(fault, machine, other)
        case .replay: try replay()
        case .kill, .killAtCall, .killAtSend, .stop, .freeze, .appKill:
            strikeProcess(fault, machine)
        case .powerLoss: try losePower(machine)
        case .diskFull, .diskError: strikeDisk(fault, machine)
        case .lock: machine.holdLock(for: Milliseconds(10 + generator.below(8_000)))
        case .clockJump, .clockFreeze, .clockDrift, .clock1970: strikeClock(fault, machine)
        case .restore: try restore()
        case .clone: try clone()
        case .evict: evict()
        case .role: changeRole()
        case .remove: remove()
        case .newOrigin:
            // A stopped process decides nothing, and has not seen what happened to its tables.
            guard let observed = machine.observed, !machine.node.isFrozen else { return }
            try attempt { try observed.takeNewOrigin(because: "test") }
            bury(machine)
        case .addColumn: machine.addColumn()
        case .lateTable:
            let table = plan.tables[generator.below(plan.tables.count)]
            machine.create(table)
        case .rebuild: machine.rebuild()
        case .relay: traffic?.strike(machine)
        case .apart:
            for machine in machines { machine.site = generator.below(2) }
            network.moved()
            network.discoverAll()
        }
    }

    // MARK: Network

    private func strikeNetwork(_ fault: Fault, _ machine: Machine, _ other: Machine) {
        if chance(1, in: 3) {
            network.joinAll()
            return network.discoverAll()
        }
        switch fault {
        case .halves:
            for left in machines {
                for right in machines
                where left.index < right.index
                    && (left.index < machine.index) != (right.index < machine.index)
                {
                    network.separate(left.node, right.node, breaks: chance(1, in: 2))
                }
            }
        case .isolate:
            for right in machines where right !== machine {
                network.separate(machine.node, right.node, breaks: chance(1, in: 2))
            }
        case _ where machine === other: break
        case .oneWay: network.silence(machine.node, to: other.node)
        default:
            network.separate(machine.node, other.node, breaks: fault == .partition)
        }
    }

    /// What came once comes again, as from a proxy that lost its mind.
    private func replay() throws {
        guard !oldChunks.isEmpty else { return }
        let old = oldChunks[generator.below(oldChunks.count)]
        guard let observed = machines[old.machine].observed else { return }
        do { _ = try observed.apply(old.chunk, of: old.header) } catch let error as StoreError {
            note("an old chunk is refused: \(error.code)")
        } catch is ProcessDied { note("died") }
        bury(machines[old.machine])
    }

    // MARK: Processes

    private func strikeProcess(_ fault: Fault, _ machine: Machine) {
        switch fault {
        case .kill:
            machine.nodeProcess?.kill()
            bury(machine)
        case .killAtCall:
            machine.nodeProcess?.plan(
                chance(1, in: 2) ? .diesBefore : .diesAfter, after: generator.below(60))
        case .killAtSend: sendsUntilDeath[machine.index] = generator.below(12)
        case .stop:
            machine.stopNode()
            restartLater(machine)
        case .freeze:
            guard machine.nodeProcess != nil, !machine.node.isFrozen else { return }
            network.freeze(machine.node)
            let life = machine.node.life
            let moment = network.now + Milliseconds(100 + generator.below(60_000))
            network.schedule(at: moment) { [unowned self] in
                if machine.node.life == life { network.thaw(machine.node) }
            }
        default:
            guard machine.isPowered else { return }
            // In the middle of a transaction.
            if let lax = machine.lax, machine.lockedUntil == nil {
                machine.enterApp()
                machine.run("BEGIN", on: lax)
                let here = plan.tables.filter { machine.tables.contains($0.name) }
                if !here.isEmpty { machine.run(program.statement(here), on: lax) }
            }
            machine.killApps()
            reopenApps(machine)
        }
    }

    private func reopenApps(_ machine: Machine) {
        do { try machine.openApps() } catch {
            note("\(machine.name): the app does not open its file: \(error)")
            network.schedule(at: network.now + 1_000) { [unowned self] in
                if machine.strict == nil || machine.lax == nil, machine.isPowered {
                    machine.killApps()
                    reopenApps(machine)
                }
            }
        }
    }

    // MARK: Disk

    private func losePower(_ machine: Machine) throws {
        guard machine.isPowered else { return }
        let lost = machine.losePower()
        note("\(machine.name) lost \(lost) writes")
        forgetChunks(of: machine)
        for index in backups.indices where backups[index].machine == machine.index {
            backups[index].machine = machine.index
        }
        network.schedule(at: network.now + Milliseconds(generator.below(20_000))) {
            [unowned self] in
            do { try machine.powerUp() } catch {
                fail(["does not come up again: \(String(reflecting: error))"], machine)
            }
        }
    }

    private func strikeDisk(_ fault: Fault, _ machine: Machine) {
        guard machine.isPowered, machine.diskTroubleUntil == nil else { return }
        let moment = network.now + Milliseconds(100 + generator.below(10_000))
        machine.diskTroubleUntil = moment
        let kind: DiskFault = fault == .diskFull ? .full : .error
        // A full disk stays full for a while; an error strikes once or for a while.
        let count = kind == .full || chance(1, in: 2) ? 1_000_000 : 1
        let after = generator.below(30)
        machine.nodeProcess?.plan(kind, after: after, count: count)
        if kind == .full { machine.appProcess.plan(kind, after: after, count: count) }
        network.schedule(at: moment) { [unowned machine] in endDiskTrouble(machine) }
    }

    // MARK: Time

    private func strikeClock(_ fault: Fault, _ machine: Machine) {
        let now = machine.wallClock
        switch fault {
        case .clockJump:
            let seconds = Int64(1) << Int64(generator.below(29))
            let isForward = chance(1, in: 2)
            machine.setClock(to: max(0, now + (isForward ? seconds : -seconds) * 1_000))
        case .clockFreeze: machine.setClock(to: now, rate: chance(1, in: 2) ? 0 : 1_000)
        case .clockDrift:
            machine.setClock(to: now, rate: [900, 990, 1_001, 1_100][generator.below(4)])
        default:
            // A machine without a battery starts in 1970 and learns the time later.
            machine.setClock(to: 0, rate: 1_000)
            network.schedule(at: network.now + Milliseconds(generator.below(60_000))) {
                [unowned self, unowned machine] in
                machine.setClock(to: Simulation.epoch + network.now)
            }
        }
        note("\(machine.name): it is \(machine.wallClock)")
    }
}

func endDiskTrouble(_ machine: Machine) {
    machine.diskTroubleUntil = nil
    machine.nodeProcess?.endPlan()
    machine.appProcess.endPlan()
}

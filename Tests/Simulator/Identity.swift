// Files that come back from yesterday and files that run twice.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork

extension Simulation {
    /// What a backup program keeps: the files as they are at one moment.
    func takeBackup(_ machine: Machine) {
        guard plan.faults.contains(.restore) || plan.faults.contains(.clone),
            let observed = machine.observed, machine.lockedUntil == nil, !observed.isBehind
        else { return }
        let replica = observed.inner
        let files = ["", "-wal"].compactMap { suffix in
            readFile(machine.path + suffix).map { (suffix: suffix, bytes: $0) }
        }
        backups.append(
            Backup(
                machine: machine.index, files: files, vector: replica.vector,
                collected: collected[machine.index] ?? [:]))
        if backups.count > 4 { backups.remove(at: generator.below(4)) }
        note("\(machine.name) is backed up")
    }

    /// A person puts the files of yesterday in the place of today's.
    func restore() throws {
        guard !backups.isEmpty else { return }
        let backup = backups[generator.below(backups.count)]
        let machine = machines[backup.machine]
        guard machine.isPowered, machine.lockedUntil == nil else { return }
        machine.stopNode()
        machine.killApps()
        let isInPlace = chance(1, in: 2)
        note("\(machine.name) is restored\(isInPlace ? " in place" : "")")
        Disk.forget(below: machine.folder + "/")
        removeFile(machine.path + "-shm")
        if !isInPlace { removeFile(machine.path) }
        removeFile(machine.path + "-wal")
        for file in backup.files { writeFile(machine.path + file.suffix, file.bytes) }
        lastContent[machine.index] = nil
        collected[machine.index] = backup.collected
        settling[machine.index] = nil
        forgetChunks(of: machine)
        try machine.openApps()
        findTables(machine)
        restartLater(machine)
    }

    /// A connection ends with what its receiver loses: only whoever still has the chunks before it can
    /// be sent a chunk again. Chunks of one connection come in order; the store relies on it.
    func forgetChunks(of machine: Machine) {
        oldChunks.removeAll { $0.machine == machine.index }
    }

    /// The files of a machine go on living on another one, too.
    func clone() throws {
        guard !backups.isEmpty, machines.count < 7 else { return }
        let backup = backups[generator.below(backups.count)]
        let machine = try addMachine(copying: backup)
        note("\(machine.name) is a clone of \(machines[backup.machine].name)")
        originsOf[machine.index] = originsOf[backup.machine]
        collected[machine.index] = backup.collected
        machine.isNew = true
        if plan.keepsMembers {
            changeMembers(
                "INSERT OR IGNORE INTO members VALUES('\(machine.name)', 'writer', '')",
                at: machines[generator.below(machines.count - 1)])
        }
        start(machine)
    }
}

// The simulated disk as the simulator uses it: processes, their death, and power loss.

import CSimulatedDisk

/// What a process meets at one of its calls that change a file.
enum DiskFault: Int32 {
    case diesBefore = 1
    case diesAfter
    case full
    case error
}

/// One process on the disk; a number that is never used again.
struct DiskProcess: Equatable {
    let number: Int32

    static func spawn() -> DiskProcess { DiskProcess(number: simulated_disk_spawn()) }

    var isDead: Bool { simulated_disk_is_dead(number) != 0 }
    var openFiles: Int { Int(simulated_disk_open_files(number)) }
    var calls: Int64 { simulated_disk_calls(number) }

    func kill() { simulated_disk_kill(number) }

    /// From the call `after` on, `count` calls meet `fault`.
    func plan(_ fault: DiskFault, after: Int, count: Int = 1) {
        simulated_disk_plan(number, fault.rawValue, Int64(after), Int64(count))
    }

    func endPlan() { simulated_disk_plan(number, 0, 0, 0) }

    /// What follows is done by this process, at this time of its machine's clock.
    func run(at unixMilliseconds: Int64) {
        simulated_disk_run_as(number, unixMilliseconds)
    }
}

enum Disk {
    /// Takes the place of the real disk for every connection of this program.
    static func install() {
        precondition(simulated_disk_install() == 0, "SQLite refuses the simulated disk")
    }

    static func reset(seed: UInt64) { simulated_disk_reset(seed) }

    /// Returns how many writes were lost.
    static func losePower(below folder: String, seed: UInt64) -> Int {
        let lost = simulated_disk_lose_power(folder, seed)
        precondition(lost >= 0, "cannot write below \(folder)")
        return Int(lost)
    }

    static func forget(below folder: String) { simulated_disk_forget(folder) }
}

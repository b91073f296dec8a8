// The command: one seed, many seeds, sizes. See `starling-sim --help`.

import CausalModel
import TestKit
import TestNetwork

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@main struct SimulatorCommand {
    static let help = """
        starling-sim: clusters of whole Starling nodes in simulated time, broken on purpose.

          starling-sim --seed S [--nodes N] [--steps M] [--with|--without FAULT,…] [--log]
              one run in this process; prints its trace hash, the same for the same arguments
          starling-sim --seeds FIRST,COUNT [--nodes N] [--steps M] [--jobs J] [--minutes T]
              a process for each seed; a failure is run again to find a shorter prefix. Seed 0
              stands for the directed scenarios. Without --nodes and --steps each seed draws its
              own size. Ends with 1 when a seed failed
          starling-sim --canaries [--jobs J] [--minutes T]
              breaks each rule of the design in turn (not in release builds of the product), J at once;
              ends with 1 when one of them is not caught within T minutes (10); with --canary NAME
              only that one
          starling-sim … --canary NAME
              a run with this rule broken
          starling-sim … --members | --no-members
              with or without a list of members, who are evicted, change roles and come back; most seeds
              draw that they have one
          starling-sim … --uncollected
              a run in which deleted rows stay
          starling-sim --scale N,… [--seed S]
              how a change spreads through N nodes without faults: a table; ends with 1 when one
              gets lost, needs too many rounds, or nodes differ. A thousand nodes need 1 GB
          starling-sim --exhaust REPLICAS,ROWS,OPERATIONS [--policy addWins|deleteWins]
              every sequence of so many writes and transfers, broken and resumed, against the
              oracle; without files, and no list of members. Ends with 1 when one fails
        """

    static func main() {
        var options = Options()
        do { try options.parse(Array(CommandLine.arguments.dropFirst())) } catch {
            complain("\(error)\n\(help)")
            exit(64)
        }
        if options.isHelp { return print(help) }
        if !options.scale.isEmpty {
            exit(ScaleRunner(seed: options.seed).run(options.scale))
        }
        if let scope = options.scope {
            exit(options.policy.map { Exhaust.run(scope, $0) } ?? Exhaust.run(scope))
        }
        if options.areCanariesRun { exit(CanaryRunner(options).run()) }
        if let canary = options.canary, !switchOn(canary) {
            complain("a release build has no canaries: build it with `swift build`")
            exit(64)
        }
        if let range = options.seeds { exit(Runner(options, range).run()) }
        exit(runOne(options))
    }

    /// False in a build that has none.
    private static func switchOn(_ wanted: Canary) -> Bool {
        #if DEBUG || STARLING_CANARIES
        canary = wanted
        return true
        #else
        return false
        #endif
    }

    static func runOne(_ options: Options) -> Int32 {
        let started = monotonicMilliseconds()
        do {
            if options.seed == 0 {
                let failures = try Directed.run()
                if failures.isEmpty { print("seed 0 is clean: the directed scenarios") }
                for failure in failures { print("seed 0 failed at \(failure)") }
                return failures.isEmpty ? 0 : 1
            }
            let simulation = try Simulation(options)
            do { try simulation.run(steps: options.steps ?? 200) } catch {
                if options.isLogged { print(simulation.log.joined(separator: "\n")) }
                print("seed \(options.seed) failed at \(error)")
                return 1
            }
            if options.isLogged { print(simulation.log.joined(separator: "\n")) }
            let counts = simulation.counts
            let faults = counts.faults.map { "\($0.key.rawValue) \($0.value)" }.sorted()
            print(
                "seed \(options.seed) trace \(hexadecimal(simulation.trace)) simulated "
                    + "\(simulation.network.now - 1_000_000) ms wall "
                    + "\(monotonicMilliseconds() - started) ms commits \(counts.statements) "
                    + "frames \(counts.frames) chunks \(counts.chunks) "
                    + "writes \(simulation.ghost.writeCount) checks \(simulation.ghost.checks) "
                    + "reissued \(counts.reissued) collected \(counts.collected) "
                    + "logged \(counts.logged) met \(counts.met) "
                    + "faults \(faults.isEmpty ? "none" : faults.joined(separator: ", "))")
            return 0
        } catch {
            print("seed \(options.seed) failed before its first step: \(String(reflecting: error))")
            return 1
        }
    }
}

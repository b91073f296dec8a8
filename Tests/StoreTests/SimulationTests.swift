// Random clusters: many in CI, and any range by hand with
// `STARLING_SIMULATIONS=first,count swift test --filter SimulationTests`.

import Store
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite struct SimulationTests {
    static let range: Range<UInt64> = {
        let text = getenv("STARLING_SIMULATIONS").map { String(cString: $0) } ?? "1,200"
        let parts = text.split(separator: ",").compactMap { UInt64($0) }
        return parts.count == 2 ? parts[0]..<(parts[0] + parts[1]) : 1..<201
    }()

    @Test func clustersBecomeEqualAndLoseNothing() {
        var failed = 0
        var collected = 0
        for seed in SimulationTests.range {
            guard let failure = simulate(seed, &collected) else { continue }
            failed += 1
            Issue.record("Reproducer: seed \(seed)\n\(failure)")
            if failed >= 5 { return }
        }
        #expect(collected > 0)
    }

    private func simulate(_ seed: UInt64, _ collected: inout Int) -> String? {
        do {
            let simulation = try Simulation(seed: seed)
            do {
                try simulation.run(steps: 30 + simulation.generator.below(60))
                collected += simulation.collectedRows
                return nil
            } catch {
                guard getenv("STARLING_SIMULATION_LOG") != nil else { return "\(error)" }
                return simulation.log.joined(separator: "\n") + "\n\(String(reflecting: error))"
            }
        } catch {
            return String(reflecting: error)
        }
    }
}

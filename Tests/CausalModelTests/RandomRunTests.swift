// 100,000 random sequences for each policy of the row type. A debug build does about 3,300 in a
// second of one core; STARLING_RANDOM_RUNS asks for another number.

import CausalModel
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// One after the other, on a thread that gives way: other tests have deadlines.
@Suite(.serialized) struct RandomRunTests {
    static let blocks = 10
    static let runs: UInt64 = {
        let wanted = getenv("STARLING_RANDOM_RUNS").map { String(cString: $0) } ?? ""
        return UInt64(wanted) ?? 100_000
    }()

    @Test(arguments: [PresencePolicy.addWins, .deleteWins], 0..<UInt64(blocks))
    func noRunFails(_ policy: PresencePolicy, _ block: UInt64) async {
        let count = Self.runs / UInt64(Self.blocks)
        // Both cores of a small machine have a share.
        async let even = failure(policy, block * count, (block + 1) * count)
        async let odd = failure(policy, block * count + 1, (block + 1) * count)
        for trace in await [even, odd] {
            if let trace { Issue.record(trace.shrunk(), "seed \(trace.seed ?? 0)") }
        }
    }

    /// Every second seed from `first` on.
    private func failure(
        _ policy: PresencePolicy, _ first: UInt64, _ end: UInt64
    ) async -> OracleTrace? {
        await onOwnThread {
            for seed in stride(from: first, to: end, by: 2) {
                if let trace = OracleRun.random(seed: seed, policy: policy) { return trace }
            }
            return nil
        }
    }

    /// What a row has seen is exactly what was merged into it: nothing more, nothing less.
    @Test func contextsAreExact() {
        for seed in 0..<UInt64(400) {
            var generator = OracleGenerator(seed: seed, policy: .addWins)
            var cluster = OracleCluster(generator.shape)
            for _ in 0..<generator.length {
                guard let step = generator.next(cluster), cluster.perform(step) else { continue }
                #expect(cluster.failure == nil, "seed \(seed)")
                for replica in cluster.replicas.indices {
                    #expect(cluster.contextFailure(replica) == nil, "seed \(seed)")
                }
            }
        }
    }
}

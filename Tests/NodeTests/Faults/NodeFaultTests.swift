// A node that is killed, or whose disk refuses, at the n-th system call of a whole scenario, in both
// roles: nothing that was committed is lost, nothing is damaged, and a refusal is said aloud.

import Node
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(
    .fewAtOnce, .enabled(if: Strace.isAvailable, "needs strace; the reason is on stderr"))
struct NodeFaultTests {
    private static let killsInCI = 40
    private static let errorsInCI = 24

    @Test(.timeLimit(.minutes(FaultMode.isFull ? 300 : 10)), arguments: FaultRig.Role.allCases)
    func killedAtAnyCall(role: FaultRig.Role) async throws {
        try await strike(role, count: Self.killsInCI, choose: \.kills) { point, outcome in
            #expect(outcome.exitCode == 128 + SIGKILL, "\(role), \(point)")
        }
    }

    @Test(.timeLimit(.minutes(FaultMode.isFull ? 300 : 10)), arguments: FaultRig.Role.allCases)
    func refusedAtAnyCall(role: FaultRig.Role) async throws {
        try await strike(role, count: Self.errorsInCI, choose: \.errors) { point, outcome in
            #expect(
                outcome.exitCode < 128, "\(role), \(point): a refusal is no crash\n\(outcome.log)")
            if outcome.exitCode == 0, outcome.isAbsorbed || outcome.isAtTheEnd { return }
            #expect(
                outcome.log.contains(" error ") || outcome.log.contains(" warning ")
                    || outcome.exitCode != 0 && outcome.log.contains("starling: "),
                """
                \(role), \(point): nothing was said of \(outcome.refused.first ?? "")
                \(outcome.log)
                \(outcome.surroundings)
                """
            )
        }
    }

    /// The same file through kill after kill: each start goes on from what the last one left.
    @Test(.timeLimit(.minutes(FaultMode.isFull ? 300 : 10)), arguments: FaultRig.Role.allCases)
    func killedAgainAndAgain(role: FaultRig.Role) async throws {
        let seed = FaultMode.seed
        var random = SeededGenerator(seed: seed)
        let rig = try await FaultRig(role)
        let plain = try await rig.run(nil)
        let all = try FaultPoint.all(in: plain.trace, home: rig.ann.home).kills
        for series in 1...(FaultMode.isFull ? 20 : 1) {
            do {
                try await rig.runKills((1...12).map { _ in all[random.below(all.count)] })
            } catch {
                Issue.record("\(role), seed \(seed), series \(series): \(error)")
                return
            }
        }
        print("kill after kill, \(role), seed \(seed)")
    }

    /// Traces the scenario once, then runs it with each of the faults.
    private func strike(
        _ role: FaultRig.Role, count: Int,
        choose: KeyPath<(kills: [FaultPoint], errors: [FaultPoint]), [FaultPoint]>,
        check: (FaultPoint, FaultRig.Outcome) -> Void
    ) async throws {
        let seed = FaultMode.seed
        var random = SeededGenerator(seed: seed)
        let rig = try await FaultRig(role)
        let plain = try await rig.run(nil)
        #expect(plain.exitCode == 0)
        let all = try FaultPoint.all(in: plain.trace, home: rig.ann.home)[keyPath: choose]
        #expect(all.count > 50, "the trace shows too little:\n\(plain.trace.prefix(4000))")
        var points = FaultMode.isFull ? all : FaultPoint.sample(all, count, &random)
        if let only = FaultMode.only { points = all.filter { "\($0)" == only } }
        var missed = 0
        for point in points {
            do {
                let outcome = try await rig.run(point)
                if outcome.isHit { check(point, outcome) } else { missed += 1 }
            } catch {
                Issue.record("\(role), \(point), seed \(seed): \(error)")
                return
            }
        }
        print(
            "faults, \(role), seed \(seed): \(points.count) of \(all.count) points, "
                + "\(missed) not reached")
        #expect(missed * 4 <= points.count, "too few faults were met")
    }
}

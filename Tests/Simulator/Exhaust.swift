// Everything that can happen in a small scope, with the rules alone and no files: what `swift test` does up
// to five operations of three replicas, to any depth.

import CausalModel
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

enum Exhaust {
    /// A process for each policy, so that both cores have work. The exit code: 1 when a sequence failed.
    static func run(_ scope: Options.Scope) -> Int32 {
        let words = "--exhaust \(scope.replicas),\(scope.rows),\(scope.depth)"
        let pipes = [PresencePolicy.addWins, .deleteWins].map {
            popen("exec /proc/\(getpid())/exe \(words) --policy \($0)", "r")
        }
        var code: Int32 = 0
        for pipe in pipes {
            guard let pipe else { return 1 }
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while true {
                let count = fread(&buffer, 1, buffer.count, pipe)
                if count == 0 { break }
                print(String(decoding: buffer[..<count], as: UTF8.self), terminator: "")
                fflush(nil)
            }
            if pclose(pipe) != 0 { code = 1 }
        }
        return code
    }

    /// In this process.
    static func run(_ scope: Options.Scope, _ policy: PresencePolicy) -> Int32 {
        let started = monotonicMilliseconds()
        let shape = OracleCluster.Shape(
            replicas: scope.replicas, rows: scope.rows, columns: 1, policy: policy)
        let result = OracleRun.exhaust(shape, depth: scope.depth) { cluster in
            for replica in 0..<scope.replicas {
                if let failure = cluster.contextFailure(replica) { return failure }
            }
            return nil
        }
        let seconds = (monotonicMilliseconds() - started) / 1_000
        let outcome = result.trace.map { "FAILED: \($0.shrunk())" } ?? "none failed"
        print(
            "\(scope.replicas) replicas, \(scope.rows) rows, \(scope.depth) operations, \(policy): "
                + "\(result.states) states in \(seconds) s, \(outcome)")
        return result.trace == nil ? 0 : 1
    }
}

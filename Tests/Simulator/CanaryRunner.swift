// Breaks each rule of the design in turn, and demands that some seed fails: who finds nothing in a
// broken design has proved nothing about a sound one.

import CausalModel
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct CanaryRunner {
    private let options: Options

    init(_ options: Options) { self.options = options }

    /// The exit code: 1 when a canary survived. All of them in processes of their own, as many at once as
    /// the options say; or the one that they name.
    func run() -> Int32 {
        if let canary = options.canary { return isCaught(canary) ? 0 : 1 }
        var running = 0
        var survivors = 0
        func collect() {
            var status: Int32 = 0
            while waitpid(-1, &status, 0) < 0 {}
            running -= 1
            if status != 0 { survivors += 1 }
        }
        for canary in Canary.allCases {
            if running >= options.jobs { collect() }
            let minutes = "\(options.minutes ?? 10)"
            _ = spawnSelf(["--canaries", "--canary", canary.rawValue, "--minutes", minutes])
            running += 1
        }
        while running > 0 { collect() }
        print("\(Canary.allCases.count - survivors) canaries caught, \(survivors) not")
        return survivors == 0 ? 0 : 1
    }

    private func isCaught(_ canary: Canary) -> Bool {
        let started = monotonicMilliseconds()
        let limit = Int64(options.minutes ?? 10) * 60_000
        var seed: UInt64 = 0
        var caught: String?
        while caught == nil, monotonicMilliseconds() - started < limit {
            caught = failure(of: canary, seed: seed)
            seed += 1
        }
        let tenths = (monotonicMilliseconds() - started) / 100
        let time = "\(tenths / 10).\(tenths % 10) s"
        print(
            caught.map { "\(canary.rawValue): caught by seed \(seed - 1) in \(time): \($0)" }
                ?? "\(canary.rawValue): NOT CAUGHT by \(seed - 1) seeds in \(time)")
        fflush(nil)
        return caught != nil
    }

    /// What must happen for the broken rule to matter at all.
    private static func faults(for canary: Canary) -> [Fault] {
        switch canary {
        case .deltaBelowBaseTaken: [.replay, .restore]
        case .sentBeforeDurable: [.isolate, .powerLoss]
        case .rebuildTrustsJournal: [.kill, .rebuild]
        case .foldBeforeMarker: [.rebuild, .restore]
        case .collectedWithoutWholeVector: [.resets, .oneWay, .latency, .isolate]
        case .lostOriginKept: [.restore, .resets]
        case .numbersNotedLate: [.restore, .diskError]
        case .absentNotCounted, .oldStatementsCounted: [.restore, .isolate]
        case .unmentionedKept, .forgottenDeleteMet: [.restore, .isolate]
        case .copyWithoutJoining: [.restore, .latency, .isolate]
        case .collectedComesBack: [.evict, .isolate]
        default: []
        }
    }

    /// What a seed says of a broken rule; nil when it sees nothing.
    private func failure(of canary: Canary, seed: UInt64) -> String? {
        var run = Runner.sized(seed, options, canary: canary)
        run.with = Self.faults(for: canary)
        // Of more nodes one is always too far behind for anything to be collected at such a moment.
        if canary == .collectedWithoutWholeVector { run.nodes = 2 }
        // A list of members hides some broken rules for long: whoever is in doubt takes a copy.
        switch canary {
        case .absentNotCounted, .oldStatementsCounted, .copyWithoutJoining, .unmentionedKept,
            .forgottenDeleteMet, .collectedComesBack:
            run.keepsMembers = true
        default: run.keepsMembers = false
        }
        let (text, isFailed) = Self.outcome(of: run)
        guard isFailed else { return nil }
        // What fails with the rule as it is says nothing of the broken one.
        run.canary = nil
        let control = Self.outcome(of: run)
        guard !control.isFailed else {
            complain("seed \(seed) fails without \(canary.rawValue), too: \(control.text)")
            return nil
        }
        return String((text.split(separator: "\n").first ?? "a crash").prefix(160))
    }

    private static func outcome(of run: Runner.Run) -> (text: String, isFailed: Bool) {
        let words = run.arguments.joined(separator: " ")
        guard let pipe = popen("exec /proc/\(getpid())/exe \(words) 2>&1", "r") else {
            return ("", false)
        }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            if count == 0 { break }
            if text.count < 65_536 { text += buffer[..<count] }
        }
        let status = pclose(pipe)
        let said = String(decoding: text, as: UTF8.self)
        guard status != 64 << 8 else {
            complain("the run was refused: \(said)")
            exit(64)
        }
        return (said, status != 0)
    }
}

// Many seeds, each in a process of its own: a crash is one failed seed, memory is given back, and a
// failing run can be run again with fewer steps and fewer faults.

import CausalModel
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

final class Runner {
    private let options: Options
    private let range: Range<UInt64>
    private let folder = TemporaryDirectory()
    private var running: [pid_t: Run] = [:]
    private var failed: [Run] = []
    /// Runs of a failed seed are made again to find a shorter one.
    private var isExplaining = false
    private var clean = 0
    private var simulated: Int64 = 0
    private var commits = 0
    private var checks = 0
    private var reissued = 0
    private var met = 0
    private var collected = 0
    private var repeated = 0
    /// Of so many seeds one is run twice, and must leave the same trace.
    private static let repeatedEvery = 20
    private let started = monotonicMilliseconds()
    /// A run that takes longer hangs.
    private static let hangMilliseconds: Int64 = 900_000

    struct Run {
        var seed: UInt64
        var nodes: Int
        var steps: Int
        var with: [Fault] = []
        var without: [Fault] = []
        var output = ""
        var startedAt: Int64 = 0
        var text = ""
        var isFailed = false
        var collects = true
        var keepsMembers: Bool?
        var canary: Canary?
        /// What the first run of the same arguments ended with.
        var trace: Substring?

        var arguments: [String] {
            var words = ["--seed", "\(seed)", "--nodes", "\(nodes)", "--steps", "\(steps)"]
            if !with.isEmpty {
                words += ["--with", with.map(\.rawValue).joined(separator: ",")]
            }
            if !without.isEmpty {
                words += ["--without", without.map(\.rawValue).joined(separator: ",")]
            }
            if !collects { words.append("--uncollected") }
            if let keepsMembers { words.append(keepsMembers ? "--members" : "--no-members") }
            if let canary { words += ["--canary", canary.rawValue] }
            return words
        }
    }

    init(_ options: Options, _ range: Range<UInt64>) {
        self.options = options
        self.range = range
    }

    /// The exit code: 1 when a seed failed.
    func run() -> Int32 {
        for seed in range {
            if let minutes = options.minutes,
                monotonicMilliseconds() - started > Int64(minutes) * 60_000
            {
                break
            }
            while running.count >= options.jobs { collect() }
            if failed.count >= 5 { break }
            spawn(Self.sized(seed, options, canary: options.canary))
        }
        while !running.isEmpty { collect() }
        isExplaining = true
        // A run that differs from itself has no shorter form.
        for run in failed where run.trace == nil { explain(run) }
        let wall = max(1, monotonicMilliseconds() - started)
        print(
            "\(clean) seeds clean, \(failed.count) failed on commit \(commit()): \(commits) commits, "
                + "\(checks) oracle checks, \(reissued) rows of lost origins issued again, "
                + (met > 0 ? "\(met) networks had to meet, " : "")
                + "\(collected) deleted rows collected, "
                + "\(repeated) run twice alike, simulated \(simulated / 1_000) s in \(wall / 1_000) s "
                + "(\(simulated / wall) × real time with \(options.jobs) processes)")
        return failed.isEmpty ? 0 : 1
    }

    /// Without --nodes and --steps each seed has its own size.
    static func sized(_ seed: UInt64, _ options: Options, canary: Canary?) -> Run {
        var generator = SeededGenerator(seed: seed ^ 0x517e)
        let nodes = 2 + generator.below(4)
        let steps = 50 + generator.below(450)
        return Run(
            seed: seed, nodes: options.nodes ?? nodes, steps: options.steps ?? steps,
            with: options.with.sorted { $0.rawValue < $1.rawValue },
            without: options.without.sorted { $0.rawValue < $1.rawValue },
            collects: options.collects, keepsMembers: options.keepsMembers, canary: canary)
    }

    // MARK: Processes

    private func spawn(_ run: Run) {
        var run = run
        run.output = folder.file("\(run.seed)-\(run.steps)-\(run.without.count)")
        run.startedAt = monotonicMilliseconds()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(
            &actions, 1, run.output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        running[spawnSelf(run.arguments, &actions)] = run
    }

    /// Waits for one process to end.
    private func collect() {
        var status: Int32 = 0
        let pid = waitpid(-1, &status, WNOHANG)
        if pid == 0 {
            for (pid, run) in running
            where monotonicMilliseconds() - run.startedAt > Self.hangMilliseconds {
                _ = kill(pid, SIGKILL)
            }
            _ = usleep(2_000)
            return
        }
        guard pid > 0, var run = running.removeValue(forKey: pid) else { return }
        run.text = String(decoding: readFile(run.output) ?? [], as: UTF8.self)
        removeFile(run.output)
        run.isFailed = status != 0
        let words = run.text.split(separator: " ")
        func word(after name: Substring) -> Substring? {
            words.firstIndex(of: name).map { words[$0 + 1] }
        }
        if !run.isFailed, let trace = run.trace {
            repeated += 1
            guard word(after: "trace") != trace else { return }
            run.isFailed = true
            run.text += "seed \(run.seed) ran otherwise the second time: trace \(trace) before"
        }
        if run.isFailed {
            if status & 0x7f != 0 {
                run.text += "seed \(run.seed) ended by signal \(status & 0x7f)"
            }
            failed.append(run)
            if isExplaining { return }
            print("\(run.text)\n  starling-sim \(run.arguments.joined(separator: " "))")
        } else if !isExplaining {
            clean += 1
            func number(after name: Substring) -> Int64 {
                word(after: name).flatMap { Int64($0) } ?? 0
            }
            simulated += number(after: "simulated")
            commits += Int(number(after: "commits"))
            checks += Int(number(after: "checks"))
            reissued += Int(number(after: "reissued"))
            met += Int(number(after: "met"))
            collected += Int(number(after: "collected"))
            // The same seed means the same run.
            if clean % Self.repeatedEvery == 0 {
                run.trace = word(after: "trace")
                spawn(run)
            }
            if clean % 100 == 0 { print("\(clean) seeds clean, the last \(run.seed)") }
        }
        fflush(nil)
    }

    /// Runs once, alone.
    private func isFailing(_ run: Run) -> Run? {
        let before = failed.count
        spawn(run)
        while !running.isEmpty { collect() }
        return failed.count > before ? failed.removeLast() : nil
    }

    // MARK: Explanation

    /// The fewest steps and faults that still fail, as far as a short search finds them.
    private func explain(_ run: Run) {
        var least = run
        // The step of the failure bounds the prefix.
        if let word = run.text.split(separator: "step ").dropFirst().first,
            let step = Int(word.prefix { $0.isNumber }), step < least.steps,
            let shorter = isFailing(with(run, steps: step))
        {
            least = shorter
        }
        var low = 0
        while low + 1 < least.steps, least.steps - low > max(1, least.steps / 50) {
            let middle = (low + least.steps) / 2
            if let shorter = isFailing(with(least, steps: middle)) {
                least = shorter
            } else {
                low = middle
            }
        }
        for fault in Fault.allCases where !least.without.contains(fault) {
            var fewer = least
            fewer.without.append(fault)
            if let found = isFailing(fewer) { least = found }
        }
        print(
            "Reproducer, the shortest found, on commit \(commit()):\n"
                + "  starling-sim \(least.arguments.joined(separator: " "))\n\(least.text)")
    }

    private func with(_ run: Run, steps: Int) -> Run {
        var run = run
        run.steps = steps
        return run
    }

    /// The commit that this was built from, as `Config/simulate build` has noted it.
    private func commit() -> String {
        var place = [UInt8](repeating: 0, count: 4_096)
        let count = place.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { readlink("/proc/self/exe", $0, bytes.count) } ?? 0
        }
        let program = String(decoding: place.prefix(max(0, count)), as: UTF8.self)
        guard let slash = program.lastIndex(of: "/"),
            let bytes = readFile(program[..<slash] + "/commit")
        else { return "unknown" }
        return String(decoding: bytes.filter { $0 > 32 }, as: UTF8.self)
    }
}

/// Starts this program once more.
func spawnSelf(
    _ words: [String], _ actions: UnsafePointer<posix_spawn_file_actions_t>? = nil
) -> pid_t {
    var arguments = (["starling-sim"] + words).map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, "/proc/self/exe", actions, nil, &arguments, environ)
    guard code == 0 else {
        complain("cannot start a process: \(code)")
        exit(70)
    }
    return pid
}

// Where a fault strikes: the n-th system call of one kind that a node makes, found by tracing the
// same scenario once without a fault.

import CPlatform
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One system call of a node and what happens there.
///
/// `strace` counts the calls of a kind for each thread by itself. A node makes all of these calls
/// on its one thread, which ``FaultPoint/all(in:home:)`` checks, so that `number` means one moment.
struct FaultPoint: CustomStringConvertible, Equatable {
    enum Fault: Equatable {
        /// SIGKILL instead of the call.
        case kill
        /// The call fails once.
        case error(String)
        /// It fails, and every later one of its kind.
        case errorFromThenOn(String)
    }

    var call: String
    /// From 1.
    var number: Int
    var fault: Fault

    /// As `strace --inject` wants it, which is also how it is named in a failure.
    var description: String {
        switch fault {
        case .kill: "\(call):signal=KILL:when=\(number)"
        case .error(let name): "\(call):error=\(name):when=\(number)"
        case .errorFromThenOn(let name): "\(call):error=\(name):when=\(number)+"
        }
    }

    /// Words before a program that shall meet the fault; the tracer is a process beside it, so that
    /// the program stays the child of whoever starts it.
    func tracer(trace: String) -> [String] {
        // The writes show the log between the calls.
        Strace.words(trace: trace) + ["-e", "trace=\(call),write", "-e", "inject=\(self)"]
    }
}

extension FaultPoint {
    /// Calls that change what others see, or after which a node relies on something.
    static let changing: Set<String> = [
        "pwrite64", "write", "writev", "sendto", "sendmsg", "fsync", "fdatasync", "ftruncate",
        "fallocate", "rename", "renameat2", "link", "unlink", "openat", "mkdir",
    ]
    /// Calls that a disk can refuse, and what it then says.
    static let refusals: [String: [String]] = [
        "pwrite64": ["ENOSPC", "EIO"], "write": ["ENOSPC", "EIO"], "fsync": ["EIO", "ENOSPC"],
        "fdatasync": ["EIO", "ENOSPC"], "ftruncate": ["EIO"], "rename": ["ENOSPC", "EIO"],
        "unlink": ["EIO"], "openat": ["ENOSPC", "EIO"], "pread64": ["EIO"],
    ]

    /// All moments of one traced run, in their order.
    ///
    /// - Parameters:
    ///   - trace: the output of `strace -f -y` with `home` in it.
    ///   - home: the node's folder; what came before its first use belongs to the loader.
    static func all(in trace: String, home: String) throws -> (
        kills: [FaultPoint], errors: [FaultPoint]
    ) {
        var counts: [String: Int] = [:]
        var threads: Set<Substring> = []
        var kills: [FaultPoint] = []
        var errors: [FaultPoint] = []
        var hasBegun = false
        for line in trace.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let end = words[1].firstIndex(of: "(") else { continue }
            let call = String(words[1].drop { $0 == " " }.prefix { $0 != "(" })
            guard end > words[1].startIndex, changing.contains(call) || refusals[call] != nil
            else { continue }
            let number = (counts[call] ?? 0) + 1
            counts[call] = number
            let isInHome = line.contains(home)
            hasBegun = hasBegun || isInHome
            guard hasBegun else { continue }
            threads.insert(words[0])
            if changing.contains(call) {
                kills.append(FaultPoint(call: call, number: number, fault: .kill))
            }
            // A pipe or a socket has no disk behind it.
            guard isInHome, !line.contains(".sock") else { continue }
            for name in refusals[call] ?? [] {
                errors.append(FaultPoint(call: call, number: number, fault: .error(name)))
            }
            if call == "pwrite64" {
                errors.append(
                    FaultPoint(call: call, number: number, fault: .errorFromThenOn("ENOSPC")))
            }
        }
        guard threads.count == 1 else {
            throw ProcessError(
                description: "the node makes these calls on \(threads.count) threads, and the "
                    + "numbers mean nothing")
        }
        return (kills, errors)
    }

    /// Some of them: each kind of call and fault at least once, the rest at random.
    static func sample(
        _ points: [FaultPoint], _ count: Int, _ random: inout SeededGenerator
    ) -> [FaultPoint] {
        var rest = points.shuffled(using: &random)
        var chosen: [FaultPoint] = []
        var kinds: Set<String> = []
        rest.removeAll { point in
            guard kinds.insert("\(point.call) \(point.fault)").inserted else { return false }
            chosen.append(point)
            return true
        }
        return chosen + rest.prefix(max(0, count - chosen.count))
    }
}

/// The tracer of Linux.
enum Strace {
    /// Whether programs can be traced here; when not, says so on stderr, once. With
    /// `STARLING_REQUIRE_BED=1` the tests run all the same and fail.
    static let isAvailable: Bool = {
        #if os(Linux)
        let code = system("strace -D -f -qq -o /dev/null true >/dev/null 2>&1")
        #else
        let code: Int32 = 1
        #endif
        guard code != 0 else { return true }
        let isRequired = getenv("STARLING_REQUIRE_BED").map { String(cString: $0) } == "1"
        fputs(
            "\(isRequired ? "FAILING" : "SKIPPED"): tests of faults at the n-th system call need "
                + "strace and the right to trace, and this host has none. Run Config/setup.\n",
            starling_stderr())
        return isRequired
    }()

    /// The tracer runs as a grandchild (`-D`), follows threads, and writes to `trace`.
    static func words(trace: String) -> [String] {
        ["strace", "-D", "-f", "-qq", "-y", "-s", "64", "-e", "signal=none", "-o", trace]
    }

    /// For a run that is only counted.
    static func counting(trace: String) -> [String] {
        let calls = FaultPoint.changing.union(FaultPoint.refusals.keys).sorted()
        return words(trace: trace) + ["-e", "trace=\(calls.joined(separator: ","))"]
    }
}

/// How much of the faults a run of the tests takes on.
enum FaultMode {
    /// `STARLING_FAULTS=all`: every one of them, and every wait in full length.
    static let isFull = setting("STARLING_FAULTS") == "all"
    /// `STARLING_FAULTS=pwrite64:error=EIO:when=17`: only this one.
    static let only: String? = setting("STARLING_FAULTS").flatMap { $0 == "all" ? nil : $0 }
    /// `STARLING_SEED` repeats a choice.
    static var seed: UInt64 {
        setting("STARLING_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: 0...99_999)
    }

    private static func setting(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}

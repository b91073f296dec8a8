// The arguments of the command, and the few words it needs of the system.

import CausalModel

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct UsageError: Error, CustomStringConvertible {
    var description: String
}

struct Options {
    /// What ``Exhaust`` goes through.
    struct Scope {
        var replicas: Int
        var rows: Int
        var depth: Int
    }

    var seed: UInt64 = 1
    var scope: Scope?
    /// Nil for both.
    var policy: PresencePolicy?
    /// Sizes of groups to measure.
    var scale: [Int] = []
    var seeds: Range<UInt64>?
    var nodes: Int?
    var steps: Int?
    var jobs = 2
    var minutes: Int?
    var without: Set<Fault> = []
    /// Faults that every seed has, whatever it draws.
    var with: Set<Fault> = []
    /// Deleted rows are collected, where the seed's faults allow it.
    var collects = true
    /// A list of members as in the real node; nil: most seeds have one.
    var keepsMembers: Bool?
    var canary: Canary?
    var areCanariesRun = false
    var isLogged = false
    var isHelp = false

    private static func faults(_ text: String?) throws(UsageError) -> Set<Fault> {
        var faults: Set<Fault> = []
        for word in (text ?? "").split(separator: ",") {
            guard let fault = Fault(rawValue: String(word)) else {
                let known = Fault.allCases.map(\.rawValue).joined(separator: ", ")
                throw UsageError(description: "no fault \(word); there are \(known)")
            }
            faults.insert(fault)
        }
        return faults
    }

    private static func scope(_ text: String?) throws(UsageError) -> Scope {
        let parts = (text ?? "").split(separator: ",").compactMap { Int($0) }
        guard parts.count == 3, parts.allSatisfy({ (1...9).contains($0) }) else {
            throw UsageError(description: "--exhaust needs REPLICAS,ROWS,OPERATIONS up to 9")
        }
        return Scope(replicas: parts[0], rows: parts[1], depth: parts[2])
    }

    private static func policy(_ text: String?) throws(UsageError) -> PresencePolicy {
        guard let known = [PresencePolicy.addWins, .deleteWins].first(where: { "\($0)" == text })
        else {
            throw UsageError(description: "--policy needs addWins or deleteWins")
        }
        return known
    }

    mutating func parse(_ arguments: [String]) throws(UsageError) {
        var rest = arguments[...]
        func number(_ name: String, _ text: String?) throws(UsageError) -> Int {
            guard let text, let value = Int(text), value >= 0 else {
                throw UsageError(description: "\(name) needs a number")
            }
            return value
        }
        while let name = rest.popFirst() {
            switch name {
            case "--help": isHelp = true
            case "--log": isLogged = true
            case "--uncollected": collects = false
            case "--members": keepsMembers = true
            case "--no-members": keepsMembers = false
            case "--canaries": areCanariesRun = true
            case "--canary":
                let word = rest.popFirst() ?? ""
                guard let known = Canary(rawValue: word) else {
                    let all = Canary.allCases.map(\.rawValue).joined(separator: ", ")
                    throw UsageError(description: "no canary \(word); there are \(all)")
                }
                canary = known
            case "--scale":
                for word in (rest.popFirst() ?? "").split(separator: ",") {
                    scale.append(try number(name, String(word)))
                }
                guard !scale.isEmpty, scale.allSatisfy({ (2...4_000).contains($0) }) else {
                    throw UsageError(description: "--scale needs sizes from 2 to 4000: N,…")
                }
            case "--exhaust": scope = try Self.scope(rest.popFirst())
            case "--policy": policy = try Self.policy(rest.popFirst())
            case "--seed": seed = UInt64(try number(name, rest.popFirst()))
            case "--nodes": nodes = max(2, try number(name, rest.popFirst()))
            case "--steps": steps = try number(name, rest.popFirst())
            case "--jobs": jobs = max(1, try number(name, rest.popFirst()))
            case "--minutes": minutes = try number(name, rest.popFirst())
            case "--seeds":
                let parts = (rest.popFirst() ?? "").split(separator: ",").compactMap { UInt64($0) }
                guard parts.count == 2 else {
                    throw UsageError(description: "--seeds needs FIRST,COUNT")
                }
                seeds = parts[0]..<(parts[0] + parts[1])
            case "--without": without = try Self.faults(rest.popFirst())
            case "--with": with = try Self.faults(rest.popFirst())
            default: throw UsageError(description: "unknown argument \(name)")
            }
        }
    }
}

func complain(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = write(2, bytes, bytes.count)
}

func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
}

func hexadecimal(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

// The bed of machines from Swift: builds one per test, runs probes on its machines, and says aloud
// why when this host cannot have one.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Machines in namespaces with an Avahi each (`Tests/Bed/bed`), as long as this value lives.
final class Bed {
    private static let script = folder(of: #filePath) + "/../Bed/bed"
    /// Built by the package as an executable of its own, beside the test bundle.
    static let probe = folder(of: executable()) + "/starling-probe"

    private let holder: Child

    /// Whether this host can have a bed. When it cannot, says so on stderr, once; with
    /// `STARLING_REQUIRE_BED=1` the tests run all the same and fail.
    static let isAvailable: Bool = {
        guard let missing = whatIsMissing() else { return true }
        let isRequired = getenv("STARLING_REQUIRE_BED").map { String(cString: $0) } == "1"
        fputs(
            "\(isRequired ? "FAILING" : "SKIPPED"): tests of discovery on several machines need a "
                + "bed of namespaces, and this host cannot have one: \(missing). "
                + "Run Config/setup as root, then `Tests/Bed/bed check`.\n",
            starling_stderr())
        return isRequired
    }()

    init(machines: Int) async throws {
        holder = try Child(
            [Self.script, "run", "\(machines)", "/bin/sh", "-c", "echo ready; exec cat"])
        _ = try await holder.line(with: "ready")
    }

    /// A probe on one machine, with its process id inside the bed.
    func probe(on machine: Int, _ options: String...) async throws -> Probe {
        try await Probe(Child(inside(["exec", "\(machine)", Self.probe] + options)))
    }

    /// Runs a subcommand of the bed to its end.
    func run(_ words: String...) async throws {
        let code = try await Child(inside(words)).exit()
        guard code == 0 else { throw ChildError(description: "bed \(words): exit code \(code)") }
    }

    private func inside(_ words: [String]) -> [String] {
        [Self.script, "in", "\(holder.pid)"] + words
    }

    /// The negative lines of `bed check`, or nil.
    private static func whatIsMissing() -> String? {
        #if os(Linux)
        guard let pipe = popen("'\(script)' check 2>&1 | sed -n 's/^NO *//p'", "r") else {
            return "no shell"
        }
        defer { pclose(pipe) }
        var text = ""
        while true {
            let byte = fgetc(pipe)
            guard byte != EOF else { break }
            text.unicodeScalars.append(Unicode.Scalar(UInt8(truncatingIfNeeded: byte)))
        }
        let parts = text.split(separator: "\n")
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
        #else
        return "no Linux"
        #endif
    }

    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }

    private static func executable() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return CommandLine.arguments[0] }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }
}

/// A `starling-probe`: a process that does nothing but discovery and prints what it is told.
final class Probe {
    let child: Child
    /// As the probe sees it: inside its namespace.
    let pid: String

    init(_ child: Child) async throws {
        self.child = child
        let start = try await child.line(with: #""event":"start""#)
        guard let pid = Self.field("pid", of: start.text) else {
            throw ChildError(description: "the probe did not tell its process id")
        }
        self.pid = pid
    }

    func appeared(
        _ name: String, from start: Int = 0, with parts: String = "", withinSeconds: Int = 60
    ) async throws -> (text: String, next: Int) {
        let name = #""name":"\#(name)""#
        return try await child.line(
            from: start, with: #""event":"appeared""#, name, parts, withinSeconds: withinSeconds)
    }

    /// What an owner does after each failed connection: asks again until the new port is known.
    /// Nothing promises an event by itself when an instance comes back within a second.
    func find(_ name: String, port: Int, from start: Int) async throws {
        for attempt in 1...30 {
            child.send("resolve \(name)")
            do {
                let port = #""port":\#(port)"#
                _ = try await appeared(name, from: start, with: port, withinSeconds: 2)
                return
            } catch  where attempt < 30 {}
        }
    }

    func state(_ state: String, from start: Int = 0) async throws -> (text: String, next: Int) {
        try await child.line(from: start, with: #""state":"\#(state)""#)
    }

    /// Asks the probe to end, and returns its last line.
    func stop() async throws -> String {
        child.send("stop")
        return try await child.line(with: #""event":"stop""#).text
    }

    /// The value of a field that is no string.
    static func field(_ name: String, of line: String) -> String? {
        guard let start = line.firstRange(of: "\"\(name)\":") else { return nil }
        return String(line[start.upperBound...].prefix { $0 != "," && $0 != "}" })
    }

    static func milliseconds(_ name: String, of line: String) -> Int {
        field(name, of: line).flatMap { Int($0) } ?? .max
    }
}

// Machines with real Avahi daemons for whole nodes: `Tests/Bed/bed`, as long as the value lives.

import CPlatform
import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

final class NodeBed {
    private static let script = Files.folder(of: #filePath) + "/../../Bed/bed"

    private let holder: ChildProcess
    private let flock: Flock

    /// Whether this host can have a bed. When it cannot, says so on stderr, once; with
    /// `STARLING_REQUIRE_BED=1` the test runs all the same and fails.
    static let isAvailable: Bool = {
        guard let missing = whatIsMissing() else { return true }
        let isRequired = getenv("STARLING_REQUIRE_BED").map { String(cString: $0) } == "1"
        fputs(
            "\(isRequired ? "FAILING" : "SKIPPED"): the test of three nodes on machines of their "
                + "own needs a bed of namespaces, and this host cannot have one: \(missing). "
                + "Run Config/setup as root, then `Tests/Bed/bed check`.\n",
            starling_stderr())
        return isRequired
    }()

    /// - Parameter environment: as the head of the script says, such as the kind of switch.
    init(machines: Int, in flock: Flock, environment: [String: String] = [:]) async throws {
        self.flock = flock
        holder = try flock.spawn(
            [Self.script, "run", "\(machines)", "/bin/sh", "-c", "echo ready; exec cat"],
            name: "bed", environment: environment)
        try await holder.line(with: "ready")
    }

    /// What to put before a program that shall run on a machine; machines count from 1.
    func machine(_ number: Int) -> [String] { inside(["exec", "\(number)"]) }

    /// What a machine sees of Starling's services, as `avahi-browse` prints it, which was once seen not to
    /// end within 120 s: what it has said within ten seconds counts, and callers ask again.
    func browse(on machine: Int) async throws -> String {
        let browse = ["timeout", "10", "avahi-browse", "-rptk", "_starling._tcp"]
        return try await flock.run(self.machine(machine) + browse).output
    }

    /// Segments that machines had to send again.
    func retransmissions(on machine: Int) async throws -> Int {
        let answer = try await flock.run(inside(["exec", "\(machine)", "cat", "/proc/net/snmp"]))
        let lines = answer.output.split(separator: "\n").filter { $0.hasPrefix("Tcp:") }
            .map { $0.split(separator: " ") }
        guard lines.count == 2, let place = lines[0].firstIndex(of: "RetransSegs"),
            let count = Int(lines[1][place])
        else { throw ProcessError(description: "\(answer)") }
        return count
    }

    /// Runs a subcommand of the bed to its end.
    func run(_ words: String...) async throws {
        let answer = try await flock.run(inside(words))
        guard answer.code == 0 else { throw ProcessError(description: "bed: \(answer)") }
    }

    /// Sends a signal to a node: its lock names the process as it is known inside.
    func signal(_ node: TestNode, on machine: Int, _ name: String) async throws {
        let lock = Files.read("\(node.home)/lock").flatMap { try? JSONValue(parsing: $0) }
        guard let pid = lock?["pid"]?.int else {
            throw ProcessError(description: "the lock of \(node.name) names no process")
        }
        try await run("exec", "\(machine)", "kill", "-\(name)", "\(pid)")
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
}

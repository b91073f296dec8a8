// Nodes as their users have them: homes, files, the built `starling`, and foreign programs beside
// them. All of one test lives in one folder and on one loopback address.

import CPlatform
import Node
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The machines of one test; everything ends with the value.
final class Flock {
    /// Built by the package as an executable, beside the test bundle.
    static let program = folderOfTests() + "/starling"

    private let folder = TemporaryDirectory()
    /// An address that nobody else uses, so that a port stays free while its node is down.
    let host: String
    private(set) var nodes: [TestNode] = []
    private var commandCount = 0

    private static let counter = Counter()

    init() {
        #if os(Linux)
        let number = Int(getpid()) * 16 + Self.counter.next()
        host = "127.\(77 + (number >> 16) % 100).\(number >> 8 & 0xff).\(1 + number % 254)"
        #else
        host = "127.0.0.1"
        #endif
    }

    /// A new node; the first lets in all others, as both folders are at hand.
    func node(
        _ name: String, database: String? = nil, prefix: [String] = [], via other: TestNode? = nil
    ) async throws -> TestNode {
        let node = TestNode(name, in: self, database: database, prefix: prefix)
        if let first = other ?? nodes.first, !prefix.isEmpty {
            // Its folder cannot be seen from here: it joins as anybody does.
            let invitation = try first.answer("invite", ["name": .string(name)])["invitation"]
            var words = ["join", invitation?.string ?? "", "--no-discovery", "--json"]
            if let database { words += ["--db", database] }
            try await node.ask(words)
        } else if let first = other ?? nodes.first {
            _ = try NodeCommands.introduce(
                InitializeOptions(
                    home: Home(path: node.home), database: database, name: name, group: nil)
            ) { try first.answer("members.add", $0) }
        } else {
            var words = ["init", "--name", name, "--json"]
            if let database { words += ["--db", database] }
            try await node.ask(words)
        }
        nodes.append(node)
        return node
    }

    /// A node whose home is made by other means.
    func add(_ node: TestNode) -> TestNode {
        nodes.append(node)
        return node
    }

    /// Nodes with one database each, made by `schema` on the first; the others' files are empty.
    func nodes(_ names: String..., schema: String) async throws -> [TestNode] {
        var made: [TestNode] = []
        for name in names { made.append(try await node(name)) }
        try await made[0].sql(schema)
        _ = try await made[0].ask(["track", "--all", "--json"])
        return made
    }

    /// A place in the test's folder.
    func path(_ name: String) -> String { folder.file(name) }

    /// Runs a program to its end.
    func run(
        _ words: [String], environment: [String: String] = [:], withinSeconds: Double = 120
    ) async throws -> Answer {
        let log = nextLog("run")
        let child = try ChildProcess(words, log: log, environment: environment)
        let code = try await child.exit(withinSeconds: withinSeconds)
        let answer = Answer(
            words: words, code: code, output: child.output, errors: child.errors)
        for end in [".out", ".err"] { _ = unlink(log + end) }
        return answer
    }

    /// Starts a foreign program.
    func spawn(
        _ words: [String], name: String, environment: [String: String] = [:]
    ) throws -> ChildProcess {
        try ChildProcess(words, log: nextLog(name), environment: environment)
    }

    private func nextLog(_ name: String) -> String {
        commandCount += 1
        return folder.file("\(name)-\(commandCount)")
    }

    // MARK: Python

    static let python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3"

    /// Runs a Python script to its end; throws when it fails.
    @discardableResult
    func python(
        _ script: String, _ arguments: [String] = [], withinSeconds: Double = 120
    ) async throws -> String {
        let answer = try await run(
            [Self.python, "-c", script] + arguments, withinSeconds: withinSeconds)
        guard answer.code == 0 else { throw ProcessError(description: "\(answer)") }
        return answer.output
    }

    // MARK: Waiting

    /// Waits until all `nodes` state the same vector and digest and have nothing to fold.
    func converge(
        _ nodes: TestNode..., withinSeconds: Int = 120, at place: SourceLocation = #_sourceLocation
    ) async throws {
        try await converge(nodes, withinSeconds: withinSeconds, at: place)
    }

    func converge(
        _ nodes: [TestNode], withinSeconds: Int = 120, at place: SourceLocation = #_sourceLocation
    ) async throws {
        var seen: [JSONValue] = []
        try await until("equal vectors and digests", withinSeconds, at: place) {
            seen = []
            for node in nodes {
                guard let status = try? await node.status() else { return false }
                seen.append(status)
            }
            return seen.allSatisfy { status in
                status["journal"] == 0 && status["joining"] == false
                    && status["digest"] == seen[0]["digest"]
                    && vector(status) == vector(seen[0])
            }
        }
    }

    private func vector(_ status: JSONValue) -> [String: Int64] {
        var vector: [String: Int64] = [:]
        for member in status["vector"]?.object?.members ?? [] {
            vector[member.key] = member.value.int
        }
        return vector
    }

    /// Waits for an event; what the nodes logged is in the error when it does not come.
    func until(
        _ what: String, _ seconds: Int = 90, at place: SourceLocation = #_sourceLocation,
        _ condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var pause = 10
        while try await !condition() {
            guard ContinuousClock.now < deadline else {
                throw ProcessError(
                    description: "not within \(seconds) s: \(what) (line \(place.line))\n\(story)")
            }
            try await Task.sleep(for: .milliseconds(pause))
            pause = min(100, pause * 2)
        }
    }

    /// `#expect` with what the nodes logged.
    func expect(
        _ isTrue: Bool, _ what: @autoclosure () -> String,
        at place: SourceLocation = #_sourceLocation
    ) {
        #expect(isTrue, "\(what())\n\(story)", sourceLocation: place)
    }

    /// The last lines of every node's log.
    var story: String {
        nodes.map { node in
            "--- \(node.name): " + (node.process?.isRunning == true ? "running" : "stopped") + "\n"
                + node.log.split(separator: "\n").suffix(25).joined(separator: "\n")
        }.joined(separator: "\n")
    }

    private static func folderOfTests() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path =
            count > 0
            ? String(decoding: buffer.prefix(count), as: UTF8.self) : CommandLine.arguments[0]
        return Files.folder(of: path)
    }
}

/// What a program said.
struct Answer: CustomStringConvertible {
    let words: [String]
    let code: Int32
    let output: String
    let errors: String

    var description: String {
        "\(words.joined(separator: " ")): exit code \(code)\n\(output)\(errors)"
    }

    /// Its output as JSON; null when it is none.
    var json: JSONValue { (try? JSONValue(parsing: Array(output.utf8))) ?? .null }
}

/// Numbers from 1, for all threads.
private final class Counter: Sendable {
    private let last = Atomic<Int>(0)
    func next() -> Int { last.wrappingAdd(1, ordering: .relaxed).newValue }
}

// One home folder, its file, and the node that runs on them now and then.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

final class TestNode {
    let name: String
    private(set) var home: String
    /// The database.
    var file: String
    private unowned let flock: Flock
    /// Words before every program of this node, such as those that enter a namespace.
    let prefix: [String]
    /// Words before the node itself, to run it on a machine of the bed.
    var machine: [String] = []
    /// Words right before the program, such as those of a tracer.
    var tracer: [String] = []
    private(set) var process: ChildProcess?
    /// Where it listens, once it has run.
    private(set) var address: String?

    init(_ name: String, in flock: Flock, database: String? = nil, prefix: [String] = []) {
        self.name = name
        self.flock = flock
        self.prefix = prefix
        home = flock.path(name)
        file = database ?? "\(flock.path(name))/data.db"
    }

    var identity: Identity {
        get throws { try Home(path: home).identity() }
    }

    /// Everything the node has logged.
    var log: String {
        String(decoding: Files.read(flock.path("node-\(name).err")) ?? [], as: UTF8.self)
    }

    // MARK: The command line

    /// Runs `starling` with this home.
    func command(_ words: [String], withinSeconds: Double = 120) async throws -> Answer {
        try await flock.run(
            prefix + [Flock.program, "--home", home] + words, withinSeconds: withinSeconds)
    }

    func command(_ words: String...) async throws -> Answer { try await command(words) }

    /// Runs a command that has to succeed, and returns its JSON.
    @discardableResult
    func ask(_ words: [String]) async throws -> JSONValue {
        let answer = try await command(words)
        guard answer.code == 0, answer.json != .null else {
            throw ProcessError(description: "\(name): \(answer)\n\(flock.story)")
        }
        return answer.json
    }

    @discardableResult
    func ask(_ words: String...) async throws -> JSONValue { try await ask(words + ["--json"]) }

    /// Asks in this process: the running node over its socket, else the file.
    func answer(_ command: String, _ arguments: JSONObject) throws -> JSONValue {
        let request = ControlRequest(command: command, arguments: arguments)
        let home = Home(path: home)
        if process?.isRunning == true {
            return try ControlClient(home: home).call(
                request, silenceMilliseconds: 60_000, onEvent: { _ in })
        }
        var answered: Result<JSONValue, any Error> = .failure(ProcessError(description: "silence"))
        try NodeCommands.offline(home).handle(request) { reply in
            switch reply {
            case .result(let value): answered = .success(value)
            case .error(let error): answered = .failure(error)
            case .event: break
            }
        }
        return try answered.get()
    }

    func status() async throws -> JSONValue { try await ask("status") }

    func conflicts() async throws -> [JSONValue] {
        try await ask("conflicts")["conflicts"]?.array ?? []
    }

    // MARK: The node

    /// Starts the node and waits until it answers.
    ///
    /// It keeps the port of its earlier run, so that peers find it again.
    func start(peers: [TestNode] = [], _ options: [String] = []) async throws {
        try launch(peers: peers, options)
        try await ready()
    }

    /// Starts the node and does not wait.
    func launch(peers: [TestNode] = [], _ options: [String] = []) throws {
        var words =
            prefix + tracer + [
                Flock.program, "--home", home, "run", "--no-discovery", "--listen",
                address ?? "\(flock.host):0",
            ]
        for peer in peers { words += peer.address.map { ["--peer", $0] } ?? [] }
        if !machine.isEmpty { words = machine + [Flock.program, "--home", home, "run"] }
        process = try ChildProcess(words + options, log: flock.path("node-\(name)"))
    }

    /// Waits until the running node answers.
    func ready() async throws {
        try await flock.until("node \(name) answers") {
            guard process?.isRunning == true else {
                throw ProcessError(description: "node \(name) ended:\n\(flock.story)")
            }
            // Without a running node the command itself would read the file, and hold up the start.
            // The socket of a node in a namespace cannot be seen from here.
            let isThere = try? ControlClient(home: Home(path: home), timeoutMilliseconds: 100)
            guard isThere != nil || !prefix.isEmpty else { return false }
            let answer = try await command("status", "--json")
            guard answer.code == 0, answer.json["running"] == true else { return false }
            address = answer.json["listen"]?.string
            return true
        }
    }

    /// SIGTERM; returns the exit code.
    @discardableResult
    func stop(withinSeconds: Double = 120) async throws -> Int32 {
        process?.signal(SIGTERM)
        return try await process?.exit(withinSeconds: withinSeconds) ?? 0
    }

    /// kill -9.
    func kill() { process?.kill() }

    // MARK: Foreign programs

    /// Runs SQL in the sqlite3 shell; throws when it fails.
    @discardableResult
    func sql(_ text: String, file: String? = nil) async throws -> String {
        let answer = try await trySQL(text, file: file)
        guard answer.code == 0, answer.errors.isEmpty else {
            throw ProcessError(description: "\(name): \(answer)\n\(flock.story)")
        }
        return answer.output
    }

    func trySQL(_ text: String, file: String? = nil) async throws -> Answer {
        try await flock.run(
            prefix + [
                "sqlite3", "-batch", "-init", "/dev/null", "-cmd", ".timeout 5000",
                file ?? self.file, text,
            ])
    }

    /// Waits until a query prints this.
    func shows(
        _ query: String, _ expected: String, withinSeconds: Int = 90,
        at place: SourceLocation = #_sourceLocation
    ) async throws {
        var last = ""
        do {
            try await flock.until("\(query) = \(expected)", withinSeconds, at: place) {
                let answer = try await trySQL(query)
                last = answer.output + answer.errors
                return last == expected + "\n" || (expected.isEmpty && last.isEmpty)
            }
        } catch let error as ProcessError {
            throw ProcessError(description: "\(name) shows:\n\(last)\n\(error)")
        }
    }

    /// `PRAGMA integrity_check`, by a foreign program.
    func expectSound(at place: SourceLocation = #_sourceLocation) async throws {
        let answer = try await sql("PRAGMA integrity_check")
        flock.expect(answer == "ok\n", "\(name) is damaged: \(answer)", at: place)
    }

    /// The same node in a copy of its home folder.
    func copiedHome(to name: String) async throws -> TestNode {
        let copy = flock.add(TestNode(name, in: flock))
        let answer = try await flock.run(["cp", "-a", home, copy.home])
        guard answer.code == 0 else { throw ProcessError(description: "\(answer)") }
        return copy
    }
}

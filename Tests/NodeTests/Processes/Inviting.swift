// `starling invite --nearby` as it runs beside a test: what it shows, and what a person answers.

import Node
import Testing

final class Inviting {
    let node: TestNode
    let process: ChildProcess
    private var next = 0

    /// Starts it and waits until asks are open.
    init(_ node: TestNode, in flock: Flock, _ words: String...) async throws {
        self.node = node
        process = try flock.spawn(
            [Flock.program, "--home", node.home, "invite", "--nearby", "--json"] + words,
            name: "nearby")
        _ = try await event("open")
    }

    /// The next event of this kind.
    @discardableResult
    func event(_ kind: String) async throws -> JSONValue {
        let (text, next) = try await process.line(from: next, with: "\"\(kind)\":")
        self.next = next
        return try JSONValue(parsing: Array(text.utf8))[kind] ?? .null
    }

    /// The code that it shows now.
    func code() async throws -> String {
        try #require(try await event("asker")["code"]?.string)
    }

    /// How many codes were shown.
    var askers: Int {
        process.output.split(separator: "\n").count { $0.contains("\"asker\":") }
    }

    /// What it printed last.
    var result: JSONValue {
        let last = process.output.split(separator: "\n").last.map { Array($0.utf8) } ?? []
        return (try? JSONValue(parsing: last)) ?? .null
    }
}

/// `starling join` without a line, as it runs beside a test.
final class Asking {
    let process: ChildProcess
    let home: String

    init(_ name: String, _ address: String, in flock: Flock, _ words: String...) throws {
        home = flock.path(name)
        process = try flock.spawn(
            [
                Flock.program, "--home", home, "join", "--name", name, "--json", "--peer", address,
            ] + words, name: "asking")
    }

    func code() async throws -> String {
        let text = try await process.line(with: "\"code\":").text
        return try #require(try JSONValue(parsing: Array(text.utf8))["code"]?.string)
    }

    /// Waits for its end; what it printed last, and what it said.
    func end() async throws -> (code: Int32, result: JSONValue, errors: String) {
        let code = try await process.exit()
        let last = process.output.split(separator: "\n").last.map { Array($0.utf8) } ?? []
        return (code, (try? JSONValue(parsing: last)) ?? .null, process.errors)
    }
}

// The client of the control socket against a server that behaves, and against some that do not.

import Node
import TestKit
import Testing

@Suite struct ControlClientTests {
    private let folder = TemporaryDirectory()
    private var home: Home { Home(path: folder.path) }

    /// Asks a server that gives `answer` for `command`.
    private func ask(
        _ answer: ControlTestServer.Answer, silence: Int? = 10_000, home: Home? = nil,
        onEvent: (JSONValue) throws -> Void = { _ in }
    ) throws -> JSONValue {
        let home = home ?? self.home
        let server = try ControlTestServer(home: home) { _ in answer }
        defer { server.stop() }
        return try ControlClient(home: home).call(
            ControlRequest(command: "status"), silenceMilliseconds: silence, onEvent: onEvent)
    }

    @Test func returnsTheResultBehindTheEvents() throws {
        var events: [JSONValue] = []
        let result = try ask(.replies([.event(1), .event(2), .result(["a": 3])])) {
            events.append($0)
        }
        #expect(events == [1, 2])
        #expect(result == ["a": 3])
    }

    @Test func readsAnAnswerThatComesByteByByte() throws {
        let line = ControlReply.result(["text": "é"]).line
        #expect(try ask(.init(chunks: line.map { [$0] })) == ["text": "é"])
    }

    @Test func asksSeveralTimesOnOneConnection() throws {
        let server = try ControlTestServer(home: home) { request in
            .replies([.result(["command": .string(request.command)])])
        }
        defer { server.stop() }
        let client = try ControlClient(home: home)
        for command in ["status", "peers", "digest"] {
            let result = try client.call(ControlRequest(command: command))
            #expect(result["command"]?.string == command)
        }
    }

    @Test func carriesAnAnswerOfMegabytes() throws {
        let text = String(repeating: "x", count: 3 << 20)
        #expect(try ask(.replies([.result(["text": .string(text)])]))["text"]?.string == text)
    }

    @Test func throwsTheErrorOfTheNode() {
        let error = ControlError(code: "not_found", message: "no such peer")
        let failure = #expect(throws: ControlError.self) { try ask(.replies([.error(error)])) }
        #expect(failure == error)
    }

    @Test func endsWhenTheReaderOfEventsThrows() {
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try ask(.replies([.event(1), .result(2)])) { _ in throw Stop() }
        }
    }

    @Test func namesANodeThatGoesAway() {
        let half = Array(ControlReply.result(["a": 1]).line.dropLast(4))
        for chunks in [[], [half]] {
            let failure = #expect(throws: ControlError.self) {
                try ask(.init(chunks: chunks, closes: true))
            }
            #expect(failure?.code == "not_running")
        }
    }

    @Test func namesANodeThatDoesNotAnswer() {
        let failure = #expect(throws: ControlError.self) {
            try ask(.init(chunks: []), silence: 50)
        }
        #expect(failure?.code == "timeout")
    }

    @Test(arguments: ["garbage\n", "{}\n", "{\"ok\":1}\n", "{\"ok\":false}\n", "\u{0}\n", "\n"])
    func namesAnAnswerThatIsNone(text: String) {
        let failure = #expect(throws: ControlError.self) {
            try ask(.init(chunks: [Array(text.utf8)]))
        }
        #expect(failure?.code == "bad_message")
    }

    @Test func saysThatNoNodeRuns() throws {
        // No folder, no socket, and a socket that nobody serves any more.
        #expect(throws: NodeError(.notRunning, "")) {
            try ControlClient(home: Home(path: folder.file("missing")))
        }
        #expect(throws: NodeError(.notRunning, "")) { try ControlClient(home: home) }
        try ControlTestServer(home: home) { _ in .replies([]) }.stop()
        #expect(Path.exists(home.socketPath))
        #expect(throws: NodeError(.notRunning, "")) { try ControlClient(home: home) }
    }

    @Test func reachesASocketDeeperThanTheSystemsAddress() throws {
        let deep = folder.file(
            repeatElement("a-long-folder-name", count: 12).joined(separator: "/"))
        try Path.makeFolder(deep)
        let home = Home(path: deep)
        #expect(home.socketPath.utf8.count > 200)
        #expect(try ask(.replies([.result(1)]), home: home) == 1)
        // And again over the stale socket.
        #expect(try ask(.replies([.result(2)]), home: home) == 2)
    }
}

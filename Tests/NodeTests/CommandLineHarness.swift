// The command line run whole, with text instead of a terminal and a double instead of a node.

import Node

@testable import StarlingCommand

/// What one command line did.
struct CommandLineRun {
    var code: ExitCode
    var out: String
    var err: String
}

/// Runs command lines; what the node would do is given by the test.
final class CommandLineHarness {
    /// Answers requests when no node runs.
    var offline: (ControlRequest) -> [ControlReply] = { _ in
        [.error(ControlError(code: "failed", message: "unexpected"))]
    }
    var initialize: (InitializeOptions) throws -> JSONValue = { _ in [:] }
    var join: (JoinOptions, @escaping (JoinStep) -> Void) throws -> JSONValue = { _, _ in [:] }
    var run: (RunOptions) throws -> Void = { _ in }
    var bench: (BenchOptions) throws -> JSONValue = { _ in [:] }
    var environment: [String: String] = [:]
    var isTerminal = false
    var colours = false
    /// How many times bytes can be written before the reader goes away.
    var writesMax = Int.max
    private(set) var requests: [ControlRequest] = []

    init(home: Home? = nil) { environment["STARLING_HOME"] = home?.path }

    private final class Text {
        var bytes: [UInt8] = []
        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    private struct Handler: CommandHandler {
        let answer: (ControlRequest) -> [ControlReply]

        func handle(_ request: ControlRequest, reply: @escaping (ControlReply) -> Void) {
            for line in answer(request) { reply(line) }
        }
    }

    func starling(_ words: String...) -> CommandLineRun { starling(words) }

    func starling(_ words: [String]) -> CommandLineRun {
        let out = Text()
        let err = Text()
        var writes = 0
        let application = Application(
            commands: NodeCommands(
                initialize: { try self.initialize($0) },
                join: { options, say in try self.join(options, say) },
                run: { try self.run($0) },
                offline: { _ in
                    Handler { request in
                        self.requests.append(request)
                        return self.offline(request)
                    }
                },
                demo: { say in
                    say("one")
                    return ["equal": true]
                },
                bench: { options, _ in try self.bench(options) }),
            environment: { self.environment[$0] },
            output: Output(isTerminal: isTerminal, colours: colours, width: 80) {
                writes += 1
                guard writes <= self.writesMax else { return false }
                out.bytes += $0
                return true
            },
            errors: Output(isTerminal: isTerminal, colours: colours, width: 80) {
                err.bytes += $0
                return true
            },
            now: { 1_000_000 }, startMillisecondsMax: 100)
        let code = application.run(words)
        return CommandLineRun(code: code, out: out.text, err: err.text)
    }
}

// The built program as a process: signals, pipes, and a node that it asks over a real socket.

import Node
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite struct CommandLineProgramTests {
    private let folder = TemporaryDirectory()
    private let home: Home

    init() throws {
        home = Home(path: folder.file("home"))
        _ = try Home.create(home, database: nil, name: "Attic", group: nil, nowMilliseconds: 0)
    }

    /// The program that was built together with these tests; nil, aloud, when it is not there.
    private static let program: String? = {
        let tests = Path.resolved("/proc/self/exe") ?? ""
        let program = "\(Path.parent(of: tests))/starling"
        if Path.exists(program) { return program }
        print("SKIPPED: no program at \(program): run the tests with `swift test`")
        return nil
    }()

    /// Runs `script` in bash with `$starling` set; standard error joins standard output.
    private func bash(_ script: String) throws -> ForeignProcess? {
        guard let program = Self.program else { return nil }
        return try ForeignProcess(
            "bash",
            [
                "-c",
                "exec 2>&1; starling='\(program)'; export STARLING_HOME='\(home.path)'; \(script)",
            ])
    }

    @Test func aClosedPipeMakesNoNoise() throws {
        // More output than any pipe holds, and a reader that takes one line.
        let server = try ControlTestServer(home: home) { _ in
            let line = ControlReply.event(["records": [["key": ["id": 1], "state": "saved"]]])
            return .replies([ControlReply](repeating: line, count: 20_000) + [.result([:])])
        }
        defer { server.stop() }
        let script = "$starling records t | head -n 1; echo \"${PIPESTATUS[0]}\""
        guard let bash = try bash(script) else { return }
        let lines = String(decoding: bash.rest(), as: UTF8.self).split(separator: "\n")
        #expect(lines == ["saved       id=1", "141"])
    }

    @Test func anInterruptEndsItQuietly() throws {
        let server = try ControlTestServer(home: home) { _ in .replies([.event(["key": 1])]) }
        defer { server.stop() }
        // The program replaces the shell, so that the signal reaches it and nobody else.
        guard let program = try bash("exec $starling watch") else { return }
        #expect(program.line() == "{\"key\":1}")
        _ = kill(program.pid, SIGINT)
        #expect(program.rest().isEmpty)
        #expect(program.exitCode() == 130)
    }

    @Test func exitCodesReachTheShell() throws {
        let script = """
            $starling wait; echo $?; $starling nonsense >/dev/null; echo $?
            $starling status --home /nonexistent --json | cut -c 1-29; $starling --version
            """
        guard let bash = try bash(script) else { return }
        let lines = String(decoding: bash.rest(), as: UTF8.self).split(separator: "\n")
        #expect(
            lines.map(String.init) == [
                "starling: the node is not running: start it with `starling run`", "3",
                "starling: unknown command \"nonsense\"", "Try: starling --help", "2",
                "starling: there is no node in /nonexistent: make one with `starling init`, or "
                    + "name its folder with --home DIR",
                "{\"error\":{\"code\":\"bad_home\",\"", "starling 0.1.0",
            ])
    }
}

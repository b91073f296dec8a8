// Help and completions: complete, within the width, and a script that bash accepts and that
// completes.

import Node
import TestKit
import Testing

@testable import StarlingCommand

@Suite struct CommandLineHelpTests {
    private let harness = CommandLineHarness()

    @Test func theOverviewNamesEveryCommandAndExitCode() {
        let run = harness.starling("--help")
        #expect(run.code == .success)
        for command in CommandSpec.table { #expect(run.out.contains("  \(command.name) ")) }
        for code in ExitCode.allCases { #expect(run.out.contains(code.meaning.prefix(40))) }
        #expect(harness.starling("help").out == run.out)
        // Without any words the same page is an error.
        let bare = harness.starling()
        #expect(bare.code == .usage && bare.err == run.out && bare.out.isEmpty)
    }

    @Test func everyCommandHasAPageWithItsOptions() {
        for command in CommandSpec.table {
            let run = harness.starling(command.path + ["--help"])
            #expect(run.code == .success)
            #expect(run.out.contains("Usage: starling \(command.name)"))
            for option in command.allOptions {
                #expect(run.out.contains(option.name), "\(command.name) \(option.name)")
            }
            let tooWide = run.out.split(separator: "\n").map(String.init).filter { $0.count > 80 }
            #expect(tooWide.allSatisfy { $0.hasPrefix("Usage:") }, "\(tooWide)")
            #expect(harness.starling(["help"] + command.path).out == run.out)
        }
        let unknown = harness.starling("help", "statsu")
        #expect(unknown.code == .usage)
        #expect(unknown.err.contains("did you mean status?"))
    }

    @Test func theVersionIsPrintedWhereverItIsAsked() {
        for line in [["--version"], ["-V"], ["status", "--version"]] {
            let run = harness.starling(line)
            #expect(run.code == .success)
            #expect(run.out == "starling \(Application.version)\n")
        }
    }

    @Test(arguments: ["bash", "zsh"])
    func completionsContainEveryCommandAndOption(shell: String) {
        let run = harness.starling("completions", shell)
        #expect(run.code == .success)
        for command in CommandSpec.table {
            #expect(run.out.contains(command.path[command.path.count - 1]), "\(command.name)")
            for option in command.allOptions { #expect(run.out.contains(option.name)) }
        }
    }

    @Test func bashAcceptsItsCompletions() throws {
        let bash = try ForeignProcess("bash", ["-n"])
        bash.write(Array(harness.starling("completions", "bash").out.utf8))
        #expect(bash.exitCode() == 0)
        // The script for zsh uses nothing in its shape that bash would not parse as well.
        let zsh = try ForeignProcess("bash", ["-n"])
        zsh.write(Array(harness.starling("completions", "zsh").out.utf8))
        #expect(zsh.exitCode() == 0)
    }

    @Test(arguments: [
        (["sta"], ["status"]), (["conf"], ["conflicts"]), (["conflicts", "re"], ["restore"]),
        (["--home", "/h", "pee"], ["peers"]), (["records", "t", "--sta"], ["--state"]),
        (["records", "t", "--state", "syn"], ["synced"]), (["completions", "z"], ["zsh"]),
        (["track", "--del"], ["--delete-wins"]), (["status", "--j"], ["--json"]),
        (["--home", "=", "/h", "pee"], ["peers"]), (["records", "--state", "=", "pa"], ["parked"]),
        (["completions", "--home", "=", "/h", "b"], ["bash"]), (["run", "--j"], []),
        (["help", "back"], ["backup"]),
    ])
    func bashCompletes(words: [String], expected: [String]) throws {
        let quoted = (["starling"] + words).map { "'\($0)'" }.joined(separator: " ")
        let script = """
            \(harness.starling("completions", "bash").out)
            COMP_WORDS=(\(quoted)); COMP_CWORD=\(words.count)
            _starling
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let bash = try ForeignProcess("bash", ["--norc", "-s"])
        bash.write(Array(script.utf8))
        bash.closeInput()
        let lines = String(decoding: bash.rest(), as: UTF8.self).split(separator: "\n")
        #expect(lines.map(String.init) == expected)
    }
}

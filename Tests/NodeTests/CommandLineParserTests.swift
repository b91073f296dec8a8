// The parser: every command, options before and after, and what is said about a line that does not
// fit.

import Node
import Testing

@testable import StarlingCommand

@Suite struct CommandLineParserTests {
    private let parser = ArgumentParser(commands: CommandSpec.table)

    private func parse(_ line: String) throws -> Invocation? {
        let words = line.split(separator: " ").map(String.init)
        if case .invocation(let invocation) = try parser.parse(words) { return invocation }
        return nil
    }

    @Test(arguments: [
        ("init", "init", []), ("init --db a.db --name N", "init", []),
        ("invite --for N --ttl 90s --reader", "invite", []), ("invite --revoke a", "invite", ["a"]),
        ("join L --db a.db --name N --peer a:1 --no-discovery", "join", ["L"]),
        ("join --name N", "join", []), ("invite --nearby --for N --ttl 5m --reader", "invite", []),
        ("invite --confirm 047291", "invite", []), ("invite --deny", "invite", []),
        ("members", "members", []), ("members remove Van", "members remove", ["Van"]),
        ("members evict a", "members evict", ["a"]),
        ("members rename a B", "members rename", ["a", "B"]),
        ("members role a reader", "members role", ["a", "reader"]),
        ("track t", "track", ["t"]), ("track --all --delete-wins", "track", []),
        ("track a b c", "track", ["a", "b", "c"]), ("untrack t", "untrack", ["t"]),
        ("run --listen [::]:0 --peer a:1 --peer b --no-discovery", "run", []),
        ("status", "status", []), ("peers", "peers", []), ("why Kitchen", "why", ["Kitchen"]),
        ("sync", "sync", []), ("wait --synced --timeout 2.5", "wait", []),
        ("records t --state synced", "records", ["t"]), ("conflicts", "conflicts", []),
        ("conflicts show 7", "conflicts show", ["7"]),
        ("conflicts restore 7", "conflicts restore", ["7"]),
        ("conflicts dismiss 7", "conflicts dismiss", ["7"]), ("digest", "digest", []),
        ("watch", "watch", []), ("watch a b --since x", "watch", ["a", "b"]),
        ("doctor", "doctor", []), ("backup f", "backup", ["f"]), ("demo", "demo", []),
        ("bench --rows 1000", "bench", []), ("completions zsh", "completions", ["zsh"]),
        ("relay join http://r --token t", "relay join", ["http://r"]),
        ("relay join --token-file f", "relay join", []), ("relay leave", "relay leave", []),
        ("help conflicts show", "help", ["conflicts", "show"]),
    ])
    func everyCommandParses(line: String, name: String, operands: [String]) throws {
        let invocation = try #require(try parse(line))
        #expect(invocation.command.name == name)
        #expect(invocation.operands == operands)
        // Home before, between and after, as two words and as one.
        for moved in ["--home /h \(line)", "\(line) --home /h", "--home=/h \(line)"] {
            let other = try #require(try parse(moved))
            #expect(other.command.name == name && other.home == "/h")
            #expect(other.operands == operands && other.options == invocation.options)
        }
        if invocation.command.printsFacts {
            #expect(try parse("--json \(line)")?.json == true)
            #expect(try parse("\(line) --json")?.json == true)
        }
        #expect(try parse("\(line) --help")?.help == true)
    }

    @Test func everyCommandOfTheTableIsTested() {
        // Whoever adds a command adds a line above.
        #expect(CommandSpec.table.count == 37)
        #expect(Set(CommandSpec.table.map(\.name)).count == 37)
    }

    @Test func valuesArriveAsTheyWereGiven() throws {
        let run = try #require(try parse("run --peer a:1 --listen=[::]:0 --peer b"))
        #expect(run.values(.peer) == ["a:1", "b"])
        #expect(run.value(.listen) == "[::]:0")
        #expect(!run.has(.noDiscovery))
        let separated = try #require(try parse("records --state parked -- --odd-name"))
        #expect(separated.operands == ["--odd-name"])
        #expect(separated.value(.state) == "parked")
        let between = try #require(try parse("conflicts --home /h --json show 7"))
        #expect(between.command.name == "conflicts show")
        #expect(between.home == "/h" && between.json)
        #expect(try parse("watch --since=a=b")?.value(.since) == "a=b")
    }

    @Test(arguments: [
        ("stauts", "unknown command \"stauts\"; did you mean status?"),
        ("comp", "did you mean completions?"), ("xyzzy", "unknown command \"xyzzy\""),
        ("conflicts shwo 7", "unknown command \"conflicts shwo\"; did you mean conflicts show?"),
        ("conflicts zzzzzz", "known are show, restore, dismiss"),
        ("conflicts show", "conflicts show needs ID"), ("status now", "what to do with \"now\""),
        ("status --jsn", "unknown option --jsn; did you mean --json?"),
        ("track --delete-win t", "did you mean --delete-wins?"),
        ("--peer a:1 run", "--peer belongs behind its command: starling join --peer"),
        ("run --json", "run takes no --json"), ("--json run", "run takes no --json"),
        ("status --home", "--home needs a value: --home DIR"),
        ("status --home --json", "--home needs a value"), ("status --home=", "must not be empty"),
        ("status --json=yes", "--json takes no value"),
        ("join L M", "does not know what to do"), ("invite --ttl soon", "must be a time such as"),
        ("invite --ttl 8d", "7d at the most"), ("invite --ttl 0s", "must be a time such as"),
        ("members role a owner", "writer, reader"),
        ("members remove", "members remove needs NODE"),
        ("run --peer x:y", "--peer must be HOST:PORT"), ("run --listen", "needs a value"),
        ("run --listen a:1 --listen b:1", "--listen can be given only once"),
        ("wait --timeout soon", "--timeout must be a number of seconds"),
        ("wait --timeout -1", "--timeout must be a number of seconds"),
        ("wait --timeout nan", "--timeout must be a number of seconds"),
        ("bench --rows 1e5", "--rows must be a whole number from"),
        ("records", "records needs TABLE"), ("records a b", "what to do with \"b\""),
        ("records t --state sinced", "did you mean synced?"),
        ("completions fish", "must be one of bash, zsh"), ("why", "why needs PEER"),
        ("backup", "backup needs FILE"),
    ])
    func whatDoesNotFitIsExplained(line: String, words: String) {
        let failure = #expect(throws: UsageError.self) { try parse(line) }
        #expect(failure?.message.contains(words) == true, "\(failure?.message ?? "")")
    }

    @Test func invitationIsNamedOnlyToRevokeIt() {
        let run = CommandLineHarness().starling(["invite", "a1b2c3d4"])
        #expect(run.code == .usage && run.err.contains("--revoke"))
    }

    @Test func tablesAreNamedOrAllAreMeant() {
        let harness = CommandLineHarness()
        for line in [["track"], ["untrack"], ["track", "--all", "t"]] {
            let run = harness.starling(line)
            #expect(run.code == .usage)
            #expect(run.err.contains("--all"))
            #expect(run.err.contains("Try: starling \(line[0]) --help"))
        }
    }
}

// The program behind `main`: words in, text and an exit code out. What it needs from the machine
// and from the node comes in through its parameters, so tests run it whole.

import Node

struct Application {
    /// The program's version, not that of any protocol.
    static let version = "0.1.0"

    let commands: NodeCommands
    let environment: (String) -> String?
    let output: Output
    let errors: Output
    /// Unix time in milliseconds.
    var now: () -> Int64 = WallClock.milliseconds
    /// How long to wait for a node that has just started or is about to end.
    var startMillisecondsMax: Int64 = 3000
    /// Where a person's answers come from.
    var input: Int32 = 0

    /// Runs one command line, without the program's name.
    func run(_ words: [String]) -> ExitCode {
        let code: ExitCode
        do throws(UsageError) {
            code = try perform(try ArgumentParser(commands: CommandSpec.table).parse(words))
        } catch {
            code = report(error, json: words.contains(OptionSpec.json.name))
        }
        output.flush()
        errors.flush()
        return output.isBroken ? .brokenPipe : code
    }

    private func perform(_ outcome: ArgumentParser.Outcome) throws(UsageError) -> ExitCode {
        let help = Help(commands: CommandSpec.table, width: output.width)
        switch outcome {
        case .version:
            output.print("starling \(Self.version)")
            return .success
        case .overview(let asked):
            (asked ? output : errors).write(help.overview)
            return asked ? .success : .usage
        case .invocation(let invocation) where invocation.help:
            output.write(help.page(invocation.command))
            return .success
        case .invocation(let invocation): return try perform(invocation, help)
        }
    }

    private func perform(
        _ invocation: Invocation, _ help: Help
    ) throws(UsageError) -> ExitCode {
        switch invocation.command.action {
        case .help: return try explain(invocation.operands, help)
        case .completions:
            output.write(Completions(commands: CommandSpec.table).script(invocation.operands[0]))
            return .success
        case .control(let plan):
            let arguments = try plan.arguments(invocation)
            return guarded(invocation) { page in
                invocation.has(.nearby)
                    ? try inviteNearby(plan, arguments, invocation, page)
                    : try ask(plan, arguments, invocation, page)
            }
        case .relay(.overview):
            errors.write(help.page(invocation.command))
            return .usage
        case .relay(let action):
            return guarded(invocation) { page in
                try RelayCommands(environment: environment).perform(action, invocation, page)
            }
        case .initialize, .join, .run, .demo, .bench:
            return guarded(invocation) { page in try performLocally(invocation, page) }
        }
    }

    private func explain(_ words: [String], _ help: Help) throws(UsageError) -> ExitCode {
        guard !words.isEmpty else {
            output.write(help.overview)
            return .success
        }
        guard let command = help.commands.first(where: { $0.path == words }) else {
            let meant = Suggestion.nearest(
                to: words.joined(separator: " "), among: help.commands.map(\.name))
            throw UsageError(
                message: "there is no command \"\(words.joined(separator: " "))\""
                    + (meant.map { "; did you mean \($0)?" } ?? ""))
        }
        output.write(help.page(command))
        return .success
    }

    // MARK: Commands that ask a node

    private func ask(
        _ plan: ControlPlan, _ arguments: JSONObject, _ invocation: Invocation, _ page: Page
    ) throws -> ExitCode {
        var view = plan.view()
        let result: JSONValue
        do {
            let home = try Home.locate(invocation.home, environment: environment)
            let session = Session(
                home: home, offline: commands.offline, startMillisecondsMax: startMillisecondsMax)
            let request = ControlRequest(command: plan.command, arguments: arguments)
            result = try session.perform(request, plan) { event in
                if let progress = event["progress"] {
                    page.show(progress: progress)
                } else {
                    view.event(event, on: page)
                }
                if output.isBroken { throw BrokenPipe() }
            }
        } catch let error as NodeError where plan.command == "doctor" && error.isAboutHome {
            // What keeps everything else from working is the first thing a doctor tells.
            let check = DoctorCheck("home", .fail, error.message)
            view.finish(["checks": [check.json]], on: page)
            return ExitCode(error)
        }
        view.finish(result, on: page)
        return view.exitCode(result)
    }

    // MARK: Commands that are no question to a node

    private func performLocally(_ invocation: Invocation, _ page: Page) throws -> ExitCode {
        switch invocation.command.action {
        case .initialize:
            let options = InitializeOptions(
                home: try Home.locate(invocation.home, environment: environment),
                database: invocation.value(.database).map {
                    Path.absolute($0, in: Path.currentFolder())
                },
                name: try invocation.value(.name).map(Identity.checkedName), group: nil)
            return show(InitializeView(), try commands.initialize(options), page)
        case .join: return try join(invocation, page)
        case .run:
            let home = try Home.locate(invocation.home, environment: environment)
            _ = try home.identity()
            try commands.run(
                RunOptions(
                    home: home, listen: invocation.value(.listen).flatMap { HostPort($0) },
                    peers: invocation.values(.peer).compactMap { HostPort($0) },
                    discovery: invocation.has(.noDiscovery) ? false : nil))
            return .success
        case .demo:
            let result = try commands.demo { line in
                guard !page.json else { return }
                page.print(line)
                page.flush()
            }
            return show(DemoView(), result, page)
        case .bench:
            let rows = invocation.value(.rows).flatMap { Int($0) } ?? BenchOptions.rowsDefault
            let result = try commands.bench(BenchOptions(rows: rows)) { event in
                page.show(progress: event["progress"] ?? event)
            }
            return show(BenchView(), result, page)
        case .control, .relay, .completions, .help: return .failure
        }
    }

    private func join(_ invocation: Invocation, _ page: Page) throws -> ExitCode {
        let line = invocation.operands.first
        let options = JoinOptions(
            home: try Home.locate(invocation.home, environment: environment),
            invitation: line == "-" ? Self.readInvitation() : line,
            database: invocation.value(.database).map {
                Path.absolute($0, in: Path.currentFolder())
            },
            name: try invocation.value(.name).map(Identity.checkedName),
            peers: invocation.values(.invitedPeer).compactMap { HostPort($0) },
            discovery: !invocation.has(.noLooking))
        let result = try commands.join(options) { step in NearbyView.show(step, on: page) }
        return show(JoinView(), result, page)
    }

    /// Lines until they are whole, or nothing comes any more.
    private static func readInvitation() -> String {
        var text = ""
        while let line = readLine() {
            text += line
            if (try? Invitation(line: text)) != nil { break }
        }
        return text
    }

    private func show(_ view: some ReplyView, _ result: JSONValue, _ page: Page) -> ExitCode {
        var view = view
        view.finish(result, on: page)
        return view.exitCode(result)
    }

    // MARK: Errors

    private func guarded(
        _ invocation: Invocation, _ body: (Page) throws -> ExitCode
    ) -> ExitCode {
        let page = Page(output: output, errors: errors, json: invocation.json, now: now)
        defer { page.flush() }
        do { return try body(page) } catch is BrokenPipe { return .brokenPipe } catch {
            page.flush()
            let failure = ControlError(error)
            errors.print("starling: \(Words.safe(failure.message))")
            if invocation.json { output.print(Self.json(failure)) }
            return ExitCode(error)
        }
    }

    private func report(_ error: UsageError, json: Bool) -> ExitCode {
        errors.print("starling: \(Words.safe(error.message))")
        errors.print("Try: starling \(error.command.map { "\($0) " } ?? "")--help")
        if json { output.print(Self.json(ControlError(.usage, error.message))) }
        return .usage
    }

    private static func json(_ error: ControlError) -> String {
        let value: JSONValue = [
            "error": ["code": .string(error.code), "message": .string(error.message)]
        ]
        return value.text
    }
}

/// The reader of standard output has gone: nothing more is worth doing.
struct BrokenPipe: Error {}

extension NodeError {
    fileprivate var isAboutHome: Bool { code == .badHome || code == .badConfiguration }
}

// `invite --nearby` and `join` without a line, as two people see them: a code on both screens, and one
// question on one of them.

import Node

extension Application {
    /// Waits for somebody who asks; the person here says whether the codes are the same.
    func inviteNearby(
        _ plan: ControlPlan, _ arguments: JSONObject, _ invocation: Invocation, _ page: Page
    ) throws -> ExitCode {
        let home = try Home.locate(invocation.home, environment: environment)
        let session = Session(
            home: home, offline: commands.offline, startMillisecondsMax: startMillisecondsMax)
        var view = NearbyView(now: now)
        let lines = InputLines(descriptor: input) { line in
            // What was typed before there was a question is no answer.
            guard let wish = view.answer(line, on: page) else { return }
            // The node says in events what comes of it.
            _ = try? ControlClient(home: home).call(
                ControlRequest(command: plan.command, arguments: wish))
        }
        let result = try session.converse(
            ControlRequest(command: plan.command, arguments: arguments),
            input: page.json ? nil : lines
        ) { event in
            if event["asker"] != nil, !page.json { lines.discard() }
            view.event(event, on: page)
            page.flush()
            if output.isBroken { throw BrokenPipe() }
        }
        view.finish(result, on: page)
        return view.exitCode(result)
    }
}

/// What `invite --nearby` shows.
struct NearbyView: ReplyView {
    let now: () -> Int64
    /// The code that the question on the screen is about.
    private var asked: String?
    private var askedAt: Int64 = 0
    private var questions = 0
    /// Whoever answers a later question sooner than that means the one before.
    private static let answerMillisecondsMin: Int64 = 1000

    init(now: @escaping () -> Int64) { self.now = now }

    mutating func event(_ event: JSONValue, on page: Page) {
        guard !page.json else { return page.print(event.text) }
        if let open = event["open"] { show(open: open, on: page) }
        if let asker = event["asker"] {
            asked = asker["code"]?.string
            (askedAt, questions) = (now(), questions + 1)
            show(asker: asker, on: page)
        }
        if let left = event["asker_left"] {
            asked = nil
            show(left: left, on: page)
        }
    }

    private func show(open: JSONValue, on page: Page) {
        let left = Words.duration((open["expires_ms"]?.int ?? 0) - now() + 999)
        let addresses = (open["addresses"]?.array ?? []).compactMap(\.string).map(Words.safe)
        page.print("On the other machine, beside this one, within \(left):")
        page.print()
        page.print("  starling join")
        page.print()
        if let first = addresses.first {
            page.print("If it does not find this machine: starling join --peer \(first)")
        }
        if addresses.count > 1 {
            page.print("(or \(addresses.dropFirst().joined(separator: ", ")))")
        }
        page.print("Waiting for it to ask; Ctrl-C ends this.")
    }

    private func show(asker: JSONValue, on page: Page) {
        let name = Words.safe(asker["name"]?.string ?? "")
        let address = Words.safe(asker["address"]?.string ?? "")
        let code = CodeTranscript.shown(Words.safe(asker["code"]?.string ?? ""))
        page.print()
        page.print("A machine at \(address) asks to join; it calls itself \(name).")
        page.print()
        page.print("  code here:  \(page.paint(code, .strong))")
        page.print()
        Self.ask(on: page)
    }

    private static func ask(on page: Page) {
        page.output.write("Do the codes match? [y/N] ")
        page.flush()
    }

    private func show(left: JSONValue, on page: Page) {
        let words =
            switch left["reason"] {
            case "denied": "Nobody was let in."
            case "timeout": "Nobody answered in time: it was not let in."
            case "failed": "It could not be let in."
            default: "It went away before there was an answer: nobody was let in."
            }
        page.print()
        page.print(
            (left["left"]?.int ?? 0) > 0 ? "\(words) Waiting for another to ask." : words)
    }

    /// What a line that was typed means to the node; nil for nothing.
    mutating func answer(_ line: String, on page: Page) -> JSONObject? {
        guard let code = asked else { return nil }
        guard questions == 1 || now() - askedAt >= Self.answerMillisecondsMin else {
            Self.ask(on: page)
            return nil
        }
        asked = nil
        let typed = line.filter { !$0.isWhitespace }.lowercased()
        return typed == "y" || typed == "yes"
            ? ["confirm": .string(code)] : ["deny": true]
    }

    func render(_ result: JSONValue, on page: Page) {
        page.print()
        Self.showAdmitted(result, on: page)
    }

    static func showAdmitted(_ result: JSONValue, on page: Page) {
        let name = Words.safe(result["name"]?.string ?? "")
        let role = result["role"] == "reader" ? ", as a reader" : ""
        page.print(
            "\(name) (\(Words.short(result["node"]?.string ?? ""))) is a member now\(role).")
        page.print("Its fingerprint is \(Words.safe(result["fingerprint"]?.string ?? "")).")
    }

    /// What `join` says on its way.
    static func show(_ step: JoinStep, on page: Page) {
        switch step {
        case .words(let line):
            if !page.json { page.print(Words.safe(line)) }
        case .code(let code, let address):
            if page.json {
                let value: JSONValue = ["code": .string(code), "address": .string(address)]
                page.print(value.text)
            } else {
                page.print()
                page.print("  code here:  \(page.paint(CodeTranscript.shown(code), .strong))")
                page.print()
                page.print(
                    "Compare it with the code on the other screen, and answer there. If they differ, say "
                        + "no.")
                page.print("Waiting for the answer …")
            }
        }
        page.flush()
    }
}

// The answers about this machine: `init`, `doctor`, `bench`, and the `demo`'s last word.

import Node

struct InitializeView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        func text(_ key: String) -> String { Words.safe(result[key]?.string ?? "") }
        page.print("\(page.paint(text("name"), .strong)) is a new node.")
        page.columns([
            ["home", Page.Cell(text("home"))], ["file", Page.Cell(text("db"))],
            ["node", Page.Cell(Words.short(text("node")))],
            ["key", Page.Cell(text("fingerprint"))],
        ])
        page.print()
        page.print("Next:")
        page.columns([
            ["starling track --all", "choose what is kept the same"],
            ["starling run", "start the node"],
            ["starling invite", "let another machine in; it runs starling join"],
        ])
    }
}

struct DoctorView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        Self.print(result["checks"], on: page)
        let states = (result["checks"]?.array ?? []).compactMap { $0["state"]?.string }
        let failed = Int64(states.count { $0 == "fail" })
        let warned = Int64(states.count { $0 == "warn" })
        page.print()
        if failed == 0, warned == 0 {
            page.print(page.paint("All is well.", .good))
        } else {
            page.print(
                page.paint(
                    "\(Words.count(failed, "failure")), \(Words.count(warned, "warning")).",
                    failed > 0 ? .bad : .warning))
        }
    }

    /// A line for each check, and its remedy below.
    static func print(_ checks: JSONValue?, on page: Page) {
        for check in checks?.array ?? [] {
            let state = check["state"]?.string ?? ""
            let tone: Tone = state == "ok" ? .good : state == "warn" ? .warning : .bad
            let padded = Words.safe(state) + String(repeating: " ", count: max(0, 4 - state.count))
            let name = Words.safe(check["name"]?.string ?? "")
            page.print(
                "\(page.paint(padded, tone))  \(name): \(Words.safe(check["message"]?.string ?? ""))"
            )
            if let remedy = check["remedy"]?.string { page.print("      → \(Words.safe(remedy))") }
        }
    }

    func exitCode(_ result: JSONValue) -> ExitCode {
        let checks = result["checks"]?.array ?? []
        return checks.contains { $0["state"] == "fail" } ? .failure : .success
    }
}

struct BenchView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let rows = Words.grouped(result["rows"]?.int ?? 0)
        page.print("\(rows) rows on \(Words.safe(result["machine"]?.string ?? "this machine"))")
        for member in result["versions"]?.object?.members ?? [] {
            page.print("  \(Words.safe(member.key)) \(Words.safe(member.value.string ?? ""))")
        }
        page.print()
        var table: [[Page.Cell]] = [["what", "value", "goal", "", "others"]]
        for line in result["results"]?.array ?? [] {
            let met = line["met"]?.bool
            table.append([
                Page.Cell(text(line["what"])), Page.Cell(text(line["text"] ?? line["value"])),
                Page.Cell(text(line["goal"])),
                Page.Cell(
                    met.map { $0 ? "met" : "missed" } ?? "",
                    met.map { $0 ? .good : .warning }),
                Page.Cell(text(line["others"])),
            ])
        }
        page.columns(table, indent: 0)
    }

    /// A figure: its text for people, if it has one, or the number.
    private func text(_ value: JSONValue?) -> String {
        if let text = value?["text"]?.string ?? value?.string { return Words.safe(text) }
        return value.map { $0.isNull ? "" : $0.text } ?? ""
    }
}

/// The demo has told its story already.
struct DemoView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {}

    func exitCode(_ result: JSONValue) -> ExitCode {
        result["equal"] == false ? .failure : .success
    }
}

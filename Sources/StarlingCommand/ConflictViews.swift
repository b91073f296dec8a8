// The answers about conflicts: the list, one of them, and what settling one did.

import Node

struct ConflictsView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let conflicts = result["conflicts"]?.array ?? []
        guard !conflicts.isEmpty else {
            page.print("No conflict.")
            return
        }
        let now = result["now_ms"]?.int ?? 0
        for conflict in conflicts { Self.print(conflict, limit: 48, now: now, on: page) }
        page.print()
        Self.printRemedies(on: page)
    }

    /// One conflict as a block of lines.
    static func print(_ conflict: JSONValue, limit: Int, now: Int64, on page: Page) {
        let id = Words.safe(conflict["id"]?.string ?? "")
        let table = Words.safe(conflict["table"]?.string ?? "")
        let what =
            switch conflict["kind"]?.string {
            case "cell": "column \(Words.safe(conflict["column"]?.string ?? ""))"
            case "row": "two rows were made under one key"
            case "delete": "deleted and changed at the same time"
            case let other: Words.safe(other ?? "")
            }
        page.print(
            "\(page.paint(id, .strong))  \(table) \(Words.key(conflict["key"]))  \(what)")
        var rows: [[Page.Cell]] = [row("shown", conflict["shown"] ?? .null, limit, now)]
        let siblings = conflict["siblings"]?.array ?? []
        for sibling in siblings {
            // With one sibling the conflict's own id is enough.
            let own = siblings.count > 1 ? sibling["id"]?.string.map(Words.safe) : nil
            rows.append(row(own.map { "kept \($0)" } ?? "kept", sibling, limit, now))
        }
        page.columns(rows, indent: 4)
    }

    private static func row(
        _ title: String, _ version: JSONValue, _ limit: Int, _ now: Int64
    ) -> [Page.Cell] {
        let isDelete = version.isNull || version["deleted"] == true
        let value = isDelete ? "no row" : Words.value(version["value"] ?? .null, limit: limit)
        let author = version["name"]?.string.map(Words.safe)
        let when = version["time_ms"]?.int.map { Words.ago($0, now: now) }
        let origin = [author, when].compactMap(\.self).joined(separator: ", ")
        return [Page.Cell(title), Page.Cell(value), Page.Cell(origin, .quiet)]
    }

    static func printRemedies(on page: Page) {
        page.print("starling conflicts restore ID   shows what was kept, on all nodes")
        page.print("starling conflicts dismiss ID   keeps what is shown, on all nodes")
    }
}

struct ConflictView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        ConflictsView.print(result, limit: 2000, now: result["now_ms"]?.int ?? 0, on: page)
        if let row = result["row"]?.object {
            page.print()
            page.columns(
                row.members.map { [Page.Cell(Words.safe($0.key)), "\(Words.value($0.value))"] },
                indent: 4)
        }
        page.print()
        ConflictsView.printRemedies(on: page)
    }
}

struct SettledView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let action = Words.safe(result["action"]?.string ?? "settled")
        let table = Words.safe(result["table"]?.string ?? "")
        let left = result["conflicts"]?.int ?? 0
        let rest = left == 0 ? "No conflict is left." : "\(Words.count(left, "conflict")) left."
        page.print("\(action.capitalizedFirst) in \(table) \(Words.key(result["key"])). \(rest)")
    }
}

extension String {
    var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}

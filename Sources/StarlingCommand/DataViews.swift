// The answers about rows and tables: `records`, `watch`, `track`, `digest`, `backup`.

import Node

/// Records come in batches and are printed as they come, so that a table of any size needs no
/// memory here; `--json` is one object all the same.
struct RecordsView: ReplyView {
    private var names: [String: String] = [:]
    /// Members that never came: for them rows are pending until they do.
    private var unseen: [String] = []
    private var peers: JSONValue = []
    private var count = 0

    mutating func event(_ event: JSONValue, on page: Page) {
        if let peers = event["peers"] {
            self.peers = peers
            unseen = (peers.array ?? []).filter { $0["never_seen"] == true }
                .map { PeerFacts($0).name }
            for peer in PeerFacts.list(peers) { names[peer.node] = peer.name }
        }
        for record in event["records"]?.array ?? [] {
            if page.json {
                page.output.write(count == 0 ? head : ",")
                page.output.write(record.text)
            } else {
                let state = Words.safe(record["state"]?.string ?? "")
                let on = (record["peers"]?.array ?? []).compactMap(\.string)
                    .map { names[$0] ?? Words.short($0) }
                let padded = state + String(repeating: " ", count: max(0, 10 - state.count))
                let tail =
                    record["deleted"] == true
                    ? "  deleted here" : on.isEmpty ? "" : "  on \(Words.list(on))"
                page.print("\(padded)  \(Words.key(record["key"]))\(tail)")
            }
            count += 1
        }
    }

    private var head: String { "{\"peers\":\(peers.text),\"records\":[" }

    func render(_ result: JSONValue, on page: Page) {
        let counts = (result["counts"]?.object?.members ?? []).filter { $0.value.int ?? 0 > 0 }
        let detail = counts.map { "\(Words.grouped($0.value.int ?? 0)) \(Words.safe($0.key))" }
        let table = Words.safe(result["table"]?.string ?? "")
        let all = Words.count(Int64(count), "row")
        page.print(
            page.paint(
                "\(all) of \(table)"
                    + (detail.isEmpty ? "" : ": \(detail.joined(separator: ", "))"),
                .quiet))
        guard result["counts"]?["pending"]?.int ?? 0 > 0, !unseen.isEmpty else { return }
        let have = unseen.count == 1 ? "has" : "have"
        page.print(
            page.paint(
                "\(Words.list(unseen)) \(have) never been seen, so every row is pending: see starling why "
                    + unseen[0], .quiet))
    }

    mutating func finish(_ result: JSONValue, on page: Page) {
        guard page.json else { return render(result, on: page) }
        if count == 0 { page.output.write(head) }
        page.output.write("],\"table\":\((result["table"] ?? .null).text)")
        page.print(",\"counts\":\((result["counts"] ?? [:]).text)}")
    }
}

/// One line for each change, at once; the answer itself only says where to go on.
struct WatchView: ReplyView {
    mutating func event(_ event: JSONValue, on page: Page) {
        page.print(event.text)
        page.flush()
    }

    func render(_ result: JSONValue, on page: Page) {}
    mutating func finish(_ result: JSONValue, on page: Page) {}
}

struct TrackView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let tables = result["tables"]?.array ?? []
        if tables.isEmpty { page.print("The file has no table for that.") }
        var explained: Set<String> = []
        for table in tables {
            let name = Words.safe(table["table"]?.string ?? "")
            let state = Words.safe(table["state"]?.string ?? "")
            let rows = table["rows"]?.int.map { ", \(Words.count($0, "row"))" } ?? ""
            let tone: Tone = state == "refused" ? .bad : .good
            page.print("\(page.paint(state, tone))  \(page.paint(name, .strong))\(rows)")
            if let error = table["error"]?.string { page.print("    \(Words.safe(error))") }
            for warning in table["warnings"]?.array ?? [] {
                let words = Self.note(Words.safe(warning.string ?? ""), &explained)
                page.print("    \(page.paint("note:", .warning)) \(words)")
            }
        }
    }

    /// A note whose first sentence names the table and whose rest explains: the rest is said once.
    private static func note(_ words: String, _ explained: inout Set<String>) -> String {
        guard let end = words.firstRange(of: ". ") else { return words }
        if explained.insert(String(words[end.upperBound...])).inserted { return words }
        return words[..<end.lowerBound] + " (see above)"
    }

    func exitCode(_ result: JSONValue) -> ExitCode {
        let tables = result["tables"]?.array ?? []
        return tables.contains { $0["state"] == "refused" } ? .failure : .success
    }
}

struct DigestView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        page.print(Words.safe(result["digest"]?.string ?? ""))
    }
}

struct BackupView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let file = Words.safe(result["file"]?.string ?? "")
        page.print("Wrote \(file), \(Words.bytes(result["bytes"]?.int ?? 0)).")
    }
}

// `starling status`: one screen that a person understands. The health of the whole comes first, in
// sentences, the worst before the best; then the node, then a line for each peer.

import Node

struct StatusView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let peers = PeerFacts.list(result["peers"])
        let now = result["now_ms"]?.int ?? 0
        for line in Health(result, peers: peers, now: now).lines {
            page.print(page.paint(line.words, line.tone))
        }
        page.print()
        page.columns(facts(result, width: page.output.width))
        guard !peers.isEmpty else { return }
        page.print()
        PeerFacts.print(peers, now: now, on: page)
    }

    private func facts(_ result: JSONValue, width: Int) -> [[Page.Cell]] {
        let name = Words.safe(result["name"]?.string ?? "")
        let node = Words.short(result["node"]?.string ?? "")
        let role = result["role"] == "reader" ? ", reader" : ""
        let tables = (result["tables"]?.array ?? []).compactMap(\.string).map(Words.safe)
        var rows: [[Page.Cell]] = [
            ["node", Page.Cell("\(name) \(node)\(role)")],
            ["tables", Page.Cell(Self.shortened(tables, width: width - 12))],
        ]
        if let kept = result["deleted_rows"]?["kept"]?.int, kept > 0 {
            let names = (result["deleted_rows"]?["waits_for"]?.array ?? []).compactMap(\.string)
            let whom = names.isEmpty ? "" : ", kept for \(Words.list(names.map(Words.safe)))"
            rows.append(["deleted", Page.Cell(Words.count(kept, "row") + whom)])
        }
        if let strangers = result["strangers"]?.int, strangers > 0 {
            let proved = "that proved no member's key"
            rows.append([
                "strangers", Page.Cell("\(Words.count(strangers, "connection")) \(proved)"),
            ])
        }
        if let relay = RelayLine(result["relay"], now: result["now_ms"]?.int ?? 0) {
            rows.append(["relay", Page.Cell(relay.text)])
        }
        if let digest = result["digest"]?.string {
            rows.append(["digest", Page.Cell(Words.safe(String(digest.prefix(16))))])
        }
        return rows
    }

    /// As many names as fit in one line.
    private static func shortened(_ names: [String], width: Int) -> String {
        guard !names.isEmpty else { return "none" }
        var shown = names
        while shown.count > 1 {
            let rest = names.count - shown.count
            let text = shown.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
            if text.count <= width { return text }
            shown.removeLast()
        }
        let rest = names.count - 1
        return names[0] + (rest > 0 ? " and \(rest) more" : "")
    }
}

/// The sentences about how things stand.
struct Health {
    struct Line: Equatable {
        var words: String
        var tone: Tone
    }

    private(set) var lines: [Line] = []
    private let now: Int64

    init(_ status: JSONValue, peers: [PeerFacts], now: Int64) {
        self.now = now
        let journal = status["journal"]?.int ?? 0
        let isRunning = status["running"]?.bool ?? true
        let hasTables = status["tables"]?.array?.isEmpty == false
        if !isRunning {
            say(
                "The node is not running, so nothing is exchanged: start it with starling run.",
                .warning)
        }
        if !hasTables {
            say("No table is kept the same yet: starling track --all", .warning)
        }
        if isRunning, peers.isEmpty {
            say("No peer is known yet. Let another machine in: starling invite", .warning)
        }
        if status["joining"] == true {
            say(
                "This node waits for a copy of the group's data: what is written here goes out after that.",
                .warning)
        }
        addPeers(peers, isRunning: isRunning, isJoining: status["joining"] == true)
        if journal > 0 {
            let words = Words.count(journal, "change")
            say(
                isRunning
                    ? "\(words) written here \(journal == 1 ? "is" : "are") being taken in."
                    : "\(words) written here wait\(journal == 1 ? "s" : "") to be taken in.",
                .warning)
        }
        addFindings(status)
    }

    private mutating func say(_ words: String, _ tone: Tone) {
        lines.append(Line(words: words, tone: tone))
    }

    private mutating func addPeers(_ peers: [PeerFacts], isRunning: Bool, isJoining: Bool) {
        for peer in peers where peer.state == "refused" {
            say("\(peer.name) does not sync with this node: starling why \(peer.name)", .bad)
        }
        let away = peers.filter { !$0.isLinked && $0.state != "refused" }
        for (number, waiting) in Self.grouped(away) {
            let change = Words.count(number, "change")
            say(
                "\(change) here wait\(number == 1 ? "s" : "") for \(names(waiting)).", .warning)
        }
        let busy = peers.filter { $0.isLinked && !$0.isEven }
        if !busy.isEmpty {
            let whom = busy.count == 1 ? busy[0].name : "\(busy.count) peers"
            let behind = busy.map(\.behind).max() ?? 0
            let ahead = busy.map(\.ahead).max() ?? 0
            var parts: [String] = []
            if behind > 0 { parts.append("\(Words.count(behind, "change")) to send") }
            if ahead > 0 { parts.append("\(Words.count(ahead, "change")) to receive") }
            let detail = parts.isEmpty ? "." : ": \(parts.joined(separator: ", "))."
            say("Syncing with \(whom)\(detail)", .warning)
        }
        let even = peers.filter(\.isEven)
        if !even.isEmpty {
            say(
                "In sync with \(even.count == 1 ? even[0].name : "\(even.count) peers").", .good)
        }
        for peer in away where peer.lastSeen == nil && !peer.node.isEmpty && isRunning {
            let remedy =
                isJoining
                ? "if it will not come, let another member invite this one: starling join LINE, with "
                    + "this node stopped"
                : "if no other member has either, and it will not come, starling members remove "
                    + peer.name
            say("This node has never seen \(peer.name): \(remedy)", .warning)
        }
        let idle = away.filter { $0.behind == 0 && $0.lastSeen != nil }
        if !idle.isEmpty, isRunning {
            let have = idle.count == 1 ? "is away and has" : "are away and have"
            say("\(names(idle)) \(have) everything from here.", .warning)
        }
    }

    /// Peers for which the same number of changes waits, most changes first.
    private static func grouped(_ peers: [PeerFacts]) -> [(Int64, [PeerFacts])] {
        let numbers = Set(peers.map(\.behind)).filter { $0 > 0 }.sorted(by: >)
        return numbers.map { number in (number, peers.filter { $0.behind == number }) }
    }

    /// "Kitchen (last seen 4 min ago) and Attic (never seen)".
    private func names(_ peers: [PeerFacts]) -> String {
        guard peers.count <= 3 else { return "\(peers.count) peers" }
        return Words.list(
            peers.map { peer in
                let seen = peer.lastSeen.map { "last seen \(Words.ago($0, now: now))" }
                return "\(peer.name) (\(seen ?? "never seen"))"
            })
    }

    private mutating func addFindings(_ status: JSONValue) {
        if status["role"] == "reader" {
            let refused = status["refused"]?.int ?? 0
            say("This node is a reader: nothing that is written here goes to others.", .warning)
            if refused > 0 {
                say(
                    "\(Words.count(refused, "change")) of this file \(refused == 1 ? "is" : "are") "
                        + "refused by all: starling records TABLE --state refused. A writer can make "
                        + "this node one: starling members role NODE writer", .bad)
            }
        }
        let conflicts = status["conflicts"]?.int ?? 0
        if conflicts > 0 {
            say("\(Words.count(conflicts, "conflict")) to look at: starling conflicts", .warning)
        }
        let parked = status["parked"]?.int ?? 0
        if parked > 0 {
            say(
                "\(Words.count(parked, "row")) \(parked == 1 ? "is" : "are") parked, because a "
                    + "constraint refuses \(parked == 1 ? "it" : "them"): "
                    + "starling records TABLE --state parked", .warning)
        }
        for problem in status["problems"]?.array ?? [] {
            let message = Words.safe(problem["message"]?.string ?? "")
            let remedy = problem["remedy"]?.string.map { ": \(Words.safe($0))" } ?? ""
            say("\(message)\(remedy)", problem["state"] == "warn" ? .warning : .bad)
        }
    }
}

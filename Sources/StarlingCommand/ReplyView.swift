// What prints the answers of a node. Views know only the JSON of the answer, so what a person reads
// and what `--json` prints cannot differ in their facts.

import Node

protocol ReplyView {
    /// An event that is not progress.
    mutating func event(_ event: JSONValue, on page: Page)
    /// The answer for a person.
    func render(_ result: JSONValue, on page: Page)
    /// What the answer means to a script.
    func exitCode(_ result: JSONValue) -> ExitCode
    /// The answer, in whichever form is wanted.
    mutating func finish(_ result: JSONValue, on page: Page)
}

extension ReplyView {
    mutating func event(_ event: JSONValue, on page: Page) {}

    func exitCode(_ result: JSONValue) -> ExitCode { .success }

    mutating func finish(_ result: JSONValue, on page: Page) {
        if page.json {
            page.print(result.text)
        } else {
            render(result, on: page)
        }
    }
}

/// A peer, as `status`, `peers` and `why` report it.
struct PeerFacts {
    let name: String
    let node: String
    let address: String
    let state: String
    /// Changes that it lacks and this node has.
    let behind: Int64
    /// Changes that it has and this node lacks.
    let ahead: Int64
    let lastSeen: Int64?
    let lastError: String?
    let retries: Int64
    let nextTry: Int64?

    init(_ value: JSONValue) {
        node = Words.safe(value["node"]?.string ?? "")
        address = Words.safe(value["address"]?.string ?? "")
        let name = Words.safe(value["name"]?.string ?? "")
        self.name = !name.isEmpty ? name : !node.isEmpty ? Words.short(node) : address
        state = Words.safe(value["state"]?.string ?? "offline")
        behind = value["behind"]?.int ?? 0
        ahead = value["ahead"]?.int ?? 0
        lastSeen = value["last_seen_ms"]?.int
        lastError = value["last_error"]?.string.map(Words.safe)
        retries = value["retries"]?.int ?? 0
        nextTry = value["next_try_ms"]?.int
    }

    static func list(_ value: JSONValue?) -> [PeerFacts] {
        (value?.array ?? []).map(PeerFacts.init)
    }

    var isLinked: Bool { state == "connected" || state == "syncing" }
    var isEven: Bool { isLinked && state != "syncing" && behind == 0 && ahead == 0 }

    /// What it still waits for.
    var waiting: String {
        var parts: [String] = []
        if behind > 0 { parts.append("\(Words.grouped(behind)) to send") }
        if ahead > 0 { parts.append("\(Words.grouped(ahead)) to receive") }
        if !parts.isEmpty { return parts.joined(separator: ", ") }
        return isEven ? "in sync" : isLinked ? "" : "nothing waits for it"
    }

    var tone: Tone {
        isEven ? .good : state == "refused" ? .bad : isLinked ? .strong : .warning
    }

    /// One line of a list.
    func row(now: Int64) -> [Page.Cell] {
        var when = isLinked ? "" : "last seen \(Words.ago(lastSeen, now: now))"
        if let nextTry, !isLinked {
            when += nextTry <= now ? ", trying" : ", next try in \(Words.duration(nextTry - now))"
        }
        return [
            Page.Cell(name, .strong), Page.Cell(state, tone), Page.Cell(address), "\(waiting)",
            "\(when)",
        ]
    }

    static func print(_ peers: [PeerFacts], now: Int64, on page: Page) {
        page.columns(peers.map { $0.row(now: now) })
        for peer in peers {
            guard let error = peer.lastError, !peer.isLinked else { continue }
            let tries = peer.retries > 1 ? " (\(peer.retries) tries)" : ""
            page.print("  \(peer.name): \(error)\(tries); see starling why \(peer.name)")
        }
    }
}

// The answers about other nodes: `peers`, `why`, `sync`, `wait`.

import Node

struct PeersView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let peers = PeerFacts.list(result["peers"])
        guard !peers.isEmpty else {
            page.print("No peer is known yet.")
            return
        }
        PeerFacts.print(peers, now: result["now_ms"]?.int ?? 0, on: page)
    }
}

struct WhyView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        page.print(page.paint(Words.safe(result["summary"]?.string ?? ""), .strong))
        DoctorView.print(result["checks"], on: page)
    }

    func exitCode(_ result: JSONValue) -> ExitCode {
        result["synced"] == true ? .success : .notSynced
    }
}

struct SyncView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let peers = result["peers"]?.int ?? 0
        let sent = Words.count(result["sent"]?.int ?? 0, "change")
        let received = Words.grouped(result["received"]?.int ?? 0)
        if peers > 0 {
            page.print(
                "Exchanged with \(Words.count(peers, "peer")): \(sent) sent, \(received) received.")
        } else {
            page.print("No peer was reached.")
        }
        for failure in result["failed"]?.array ?? [] {
            let peer = PeerFacts(failure)
            let error = Words.safe(failure["error"]?.string ?? "no answer")
            page.print(page.paint("  \(peer.name): \(error)", .bad))
        }
        WaitView.showRefused(result, on: page)
    }

    func exitCode(_ result: JSONValue) -> ExitCode {
        result["synced"] == true ? .success : .notSynced
    }
}

extension WaitView {
    /// What a reader wrote is nowhere else, and will not be. False when there is nothing of that.
    @discardableResult
    static func showRefused(_ result: JSONValue, on page: Page) -> Bool {
        guard let refused = result["refused"]?.int, refused > 0 else { return false }
        let words = "\(Words.count(refused, "change")) of this file \(refused == 1 ? "is" : "are")"
        page.print(
            page.paint(
                "\(words) refused by all, since this node is a reader: "
                    + "starling records TABLE --state refused", .bad))
        return true
    }
}

struct WaitView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let peers = Words.count(result["peers"]?.int ?? 0, "connected peer")
        if result["synced"] == true {
            page.print(page.paint("In sync with \(peers).", .good))
            return
        }
        if Self.showRefused(result, on: page) { return }
        let waited = "Not in sync after \(Words.duration(result["waited_ms"]?.int ?? 0))"
        guard result["peers"]?.int ?? 0 > 0 else {
            page.print(
                page.paint("\(waited): no peer is connected; see starling status", .warning))
            return
        }
        let behind = Words.count(result["behind"]?.int ?? 0, "change")
        let ahead = Words.grouped(result["ahead"]?.int ?? 0)
        page.print(
            page.paint(
                "\(waited) with \(peers): \(behind) to send, \(ahead) to receive.", .warning))
    }

    func exitCode(_ result: JSONValue) -> ExitCode {
        result["synced"] == true ? .success : .notSynced
    }
}

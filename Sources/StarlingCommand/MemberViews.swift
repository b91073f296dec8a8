// The answers about members: `invite`, `join`, `members`.

import Node

struct InviteView: ReplyView {
    /// Where the code is drawn: only for a person.
    func render(_ result: JSONValue, on page: Page) {
        if let count = result["revoked"]?.int {
            page.print(
                count == 0
                    ? "No invitation was open."
                    : "\(Words.count(count, "invitation")) cannot be used any more.")
            return
        }
        // The answers to a code, given from another terminal.
        if result["denied"] != nil { return page.print("Nobody was let in.") }
        if result["fingerprint"] != nil { return NearbyView.showAdmitted(result, on: page) }
        let line = Words.safe(result["invitation"]?.string ?? "")
        if page.output.isTerminal, let code = QRCode(line), code.width <= page.output.width {
            for row in code.lines(colours: page.output.colours) { page.print(row) }
            page.print()
        }
        let left = Words.duration(
            (result["expires_ms"]?.int ?? 0) - WallClock.milliseconds() + 999)
        let name = result["name"]?.string.map { " \(Words.safe($0))" } ?? ""
        let role = result["role"] == "reader" ? ", as a reader" : ""
        page.print("On the other machine\(name)\(role), within \(left), once:")
        page.print()
        page.print("  starling join \(line)")
        page.print()
        if let warning = result["warning"]?.string {
            page.print(page.paint("\(Words.safe(warning)).", .warning))
        }
        page.print(
            "Whoever uses it is let in. To take it back: starling invite --revoke "
                + Words.safe(result["id"]?.string ?? ""))
    }
}

struct JoinView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        func text(_ key: String) -> String { Words.safe(result[key]?.string ?? "") }
        let inviter = result["inviter"]
        page.columns([
            ["home", Page.Cell(text("home"))], ["file", Page.Cell(text("db"))],
            ["node", Page.Cell("\(Words.short(text("node"))) \(text("fingerprint"))")],
            [
                "let in by",
                Page.Cell(
                    "\(Words.safe(inviter?["name"]?.string ?? "")) "
                        + Words.short(inviter?["node"]?.string ?? "") + " "
                        + Words.safe(inviter?["fingerprint"]?.string ?? "")),
            ],
        ])
        page.print()
        page.print("Next:")
        page.columns([
            ["starling run", "start the node: the tables of the group come by themselves"],
            ["starling track --all", "once their rows are here, or to add tables of this file"],
        ])
    }
}

struct MembersView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let members = result["members"]?.array ?? []
        let now = result["now_ms"]?.int ?? 0
        if members.isEmpty {
            let own = Words.safe(result["fingerprint"]?.string ?? "")
            page.print("This node is alone yet; its fingerprint is \(own).")
            page.print("To let another machine in: starling invite")
        }
        page.columns(
            members.map { member in
                func text(_ key: String) -> String { Words.safe(member[key]?.string ?? "") }
                let isSelf = member["self"] == true
                let introducer = member["introducer_name"]?.string.map(Words.safe)
                let by =
                    text("introducer") == text("node")
                    ? "founded the group"
                    : "let in by \(introducer ?? Words.short(text("introducer")))"
                let part = member["takes_part"] == false && !isSelf ? ", takes a copy first" : ""
                return [
                    Page.Cell(text("name"), .strong), Page.Cell(Words.short(text("node"))),
                    Page.Cell(text("role")), Page.Cell(text("fingerprint")), Page.Cell(by),
                    Page.Cell(
                        isSelf
                            ? "this node"
                            : "last seen \(Words.ago(member["last_seen_ms"]?.int, now: now))\(part)"
                    ),
                ]
            }, indent: 0)
        let open = result["invitations"]?.array ?? []
        guard !open.isEmpty else { return }
        page.print()
        page.print("Open invitations:")
        page.columns(
            open.map { invitation in
                let left = Words.duration((invitation["expires_ms"]?.int ?? 0) - now)
                return [
                    Page.Cell(Words.safe(invitation["id"]?.string ?? "")),
                    Page.Cell(Words.safe(invitation["name"]?.string ?? "for anybody")),
                    Page.Cell(Words.safe(invitation["role"]?.string ?? "")),
                    Page.Cell("for another \(left)"),
                ]
            })
    }
}

struct MemberChangeView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let name = Words.safe(result["name"]?.string ?? "")
        let node = Words.short(result["node"]?.string ?? "")
        switch result["action"] {
        case "removed":
            page.print("\(name) (\(node)) is removed: nothing is sent to it any more.")
            page.print("The other members learn of it as they connect; see starling members.")
        case "evicted":
            page.print("\(name) (\(node)) is not waited for any more.")
            page.print("When it comes back it takes a copy first; what it wrote is issued again.")
        case "changed":
            page.print("\(name) (\(node)) is a \(Words.safe(result["role"]?.string ?? "")) now.")
        default: page.print("\(node) is called \(name) now.")
        }
    }
}

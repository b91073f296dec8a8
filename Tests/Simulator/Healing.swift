// The end of a run: everything heals, and all nodes must become equal within a bounded time, be
// what the oracle says, survive another start, and go quiet.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Values

extension Simulation {
    /// The longest back-off, and a little: 17 minutes.
    private static let convergenceMax: Milliseconds = 17 * 60_000

    func heal() throws {
        note("healing")
        plan.faults.subtract([.killAtCall, .killAtSend, .replay])
        sendsUntilDeath = [:]
        network.joinAll()
        if !plan.staysApart { joinNetworks() }
        network.resetsPerTenThousand = 0
        network.bytesPerMillisecond = nil
        traffic?.heal()
        for machine in machines {
            machine.releaseLock()
            if machine.diskTroubleUntil != nil { endDiskTrouble(machine) }
            machine.nodeProcess?.endPlan()
            if machine.node.isFrozen, machine.node.isUp { network.thaw(machine.node) }
        }
        // Long enough for the last restart to be over.
        network.run(for: 30_000)
        network.discoverAll()
        if plan.keepsMembers { healMembers() }
        for machine in machines where machine.observed == nil || machine.strict == nil {
            fail(["does not run again: \(machine.startFailure ?? "it was not started")"], machine)
        }
        try throwIfFailed()
        for machine in machines { try machine.track() }
        let start = network.now
        guard try convergeAsWriters() else {
            return fail(
                "not equal \(Self.convergenceMax / 1_000) s after everything healed: \(standing)")
        }
        note("equal after \(network.now - start) ms")
        try expectQuiet()
        try expectCollected()
        try expectEqual()
        try inspect()
    }

    /// What one node wrote of another's role may have lost against what a third, with a clock ahead, wrote at
    /// the same time: a person looks again after a while.
    private func convergeAsWriters() throws -> Bool {
        guard plan.keepsMembers else { return converge(within: Self.convergenceMax) }
        for round in 0..<4 {
            // Whoever knows too little of the others to take part by the relay alone does so when all meet.
            if round == 3 { joinNetworks() }
            // Nobody dials sooner for that: addresses that were known are found again.
            let isLast = round == 3
            if converge(within: isLast ? Self.convergenceMax : Self.convergenceMax / 4) {
                return true
            }
            // If nobody is left who could give a copy, all have to meet.
            if !members.contains(where: \.canServe) { joinNetworks() }
            healMembers()
        }
        return false
    }

    private func joinNetworks() {
        guard machines.contains(where: { $0.site != 0 }) else { return }
        if plan.staysApart { counts.met += 1 }
        for machine in machines { machine.site = 0 }
        network.discoverAll()
    }

    private func vectorText(_ vector: VersionVector) -> String {
        vector.entries.map { "\($0.origin.high % 1_000):\($0.number)" }.joined(separator: " ")
    }

    private func summaries() -> [ReplicaSummary] {
        members.compactMap { machine in
            defer { bury(machine) }
            return try? machine.observed?.summary()
        }
    }

    private var standing: String {
        machines.map { machine in
            guard let replica = machine.replica, let summary = try? replica.summary() else {
                return "\(machine.name): no answer"
            }
            return "\(machine.name): whole \(summary.isWhole) digest \(summary.digest % 10_000) "
                + "schema \(summary.schemaFingerprint % 10_000) links "
                + "\(machine.node.engine.connectedPeers) "
                + summary.vector.entries.map { "\($0.origin.high % 1_000):\($0.number)" }
                .joined(separator: " ") + beyond(machine, replica) + structure(machine)
        }.joined(separator: "\n  ")
    }

    /// Rows that are half received, and what is known of who would tell the rest.
    private func beyond(_ machine: Machine, _ replica: Replica) -> String {
        machine.enterApp()
        let rows = try? machine.lax?.query(
            """
            SELECT t.name, hex(d.key), d.origin, d.number FROM _starling_dot d
            JOIN _starling_origin o ON o.ord = d.origin JOIN _starling_table t ON t.id = d.tbl
            WHERE d.number > o.seen LIMIT 5
            """)
        return (rows ?? []).map { row in
            guard case .integer(let ordinal) = row[2] else { return "" }
            let origin = replica.origins[Int(ordinal)]
            let author = replica.knownAuthors[origin] ?? "nobody known"
            let states = [
                "joined": replica.joinedOrigins.contains(origin),
                "over": replica.removedOrigins.contains(origin),
                "ended": replica.endedOrigins.contains(origin),
                "active": replica.activeOrigins.contains(origin),
            ]
            let state = states.filter(\.value).keys.sorted()
            let text = row.map(Self.text).joined(separator: " ")
            return "\n    half received: \(text) of \(origin.high % 1_000) by \(author) \(state)"
        }.joined()
    }

    private func structure(_ machine: Machine) -> String {
        machine.enterApp()
        let schema = try? machine.lax?.query(
            "SELECT sql FROM sqlite_schema WHERE sql <> '' AND substr(name, 1, 1) <> '_'")
        let tables = try? machine.replica?.tableFacts().map { "\($0.name) \($0.state)" }
        return "\n    \(tables ?? []) \(machine.replica?.problems ?? [:]) \(members(machine))"
            + "\n    \((schema ?? []).map { Self.text($0[0]) })"
    }

    private static func text(_ value: Value) -> String {
        if case .text(let bytes) = value { return String(decoding: bytes, as: UTF8.self) }
        return "\(value)"
    }

    /// Who takes part, as this machine's file has it.
    private func members(_ machine: Machine) -> String {
        guard let known = machine.lookAtMembers(), let replica = machine.replica else { return "" }
        let list = known.roles.sorted { $0.key < $1.key }.map { node, role in
            let origin = known.origins?[node].map { "\($0.high % 1_000)" } ?? "-"
            return "\(node) \(role) \(origin)"
        }
        return "joining \(replica.isJoining) begun \(replica.hasCopyBegun) \(list)"
    }

    private func isConverged() -> Bool {
        let all = summaries()
        guard all.count == members.count, let first = all.first else { return false }
        guard
            all.allSatisfy({
                $0.vector == first.vector && $0.digest == first.digest
                    && $0.beyondHash == first.beyondHash
                    && $0.schemaFingerprint == first.schemaFingerprint
            }), members.allSatisfy({ $0.replica?.isScanning == false })
        else { return false }
        // No member talks to who was removed.
        let names = Set(members.map(\.name))
        return all.allSatisfy(\.isWhole)
            && members.allSatisfy { machine in
                machine.node.engine.peersStatus(network.now).allSatisfy { peer in
                    peer.state != .connected || peer.node.map(names.contains) ?? true
                }
            }
    }

    private func converge(within limit: Milliseconds) -> Bool {
        let end = network.now + limit
        while network.now < end, failuresAreNone {
            network.run(for: min(1_000, end - network.now))
            if isConverged() { return true }
        }
        return false
    }

    private var failuresAreNone: Bool { (try? throwIfFailed()) != nil }

    /// Nothing is sent and nothing numbered once all are equal.
    private func expectQuiet() throws {
        network.run(for: 5_000)
        let chunks = counts.chunks
        let vectors = members.map { $0.replica?.vector }
        network.run(for: 90_000)
        if counts.chunks != chunks { fail("\(counts.chunks - chunks) chunks after all were equal") }
        if members.map({ $0.replica?.vector }) != vectors { fail("a vector moved by itself") }
        if !isConverged() { fail("not equal any more: \(standing)") }
        try throwIfFailed()
    }

    /// When all are connected, no deleted row is left that nothing contests.
    private func expectCollected() throws {
        guard plan.collects else { return }
        let end = network.now + Self.convergenceMax
        while network.now < end, try !deletedRows().allSatisfy({ $0 == 0 }) {
            network.run(for: 1_000)
        }
        for (machine, rows) in zip(members, try deletedRows()) where rows > 0 {
            let group = machine.lookAtMembers()?.stabilityGroup(without: machine.name)
            let facts = try group.flatMap { try machine.replica?.deletedRowFacts($0) }
            let said = try machine.replica?.peerStatements().map {
                "\($0.node) under \($0.origin.map { "\($0.high % 1_000)" } ?? "-") \(vectorText($0.vector))"
            }
            let removals = vectorText(group?.removals ?? VersionVector())
            let waiting = try Connection(path: machine.path).query(
                """
                SELECT t.name, hex(d.key), hex(o.origin), d.number, r.context, hex(s.vector)
                FROM _starling_deleted d JOIN _starling_table t ON t.id = d.tbl
                LEFT JOIN _starling_origin o ON o.ord = d.origin
                LEFT JOIN _starling_row r ON r.tbl = d.tbl AND r.key = d.key
                LEFT JOIN _starling_snapshot s ON s.id = r.context LIMIT 5
                """)
            explain { "\(machine.name) waits with \(waiting.map { row in row.map(\.shown) })" }
            fail(
                [
                    "keeps \(rows) deleted rows for ever, for the sake of \(facts?.waitsFor ?? [])\n"
                        + "  \(said ?? []) removals \(removals)\n  \(standing)"
                ],
                machine)
        }
        if !isConverged() { fail("not equal any more: \(standing)") }
        try throwIfFailed()
    }

    private func deletedRows() throws -> [Int] {
        try members.map { machine in
            machine.enterNode()
            return try machine.replica?.deletedRowFacts(
                StabilityGroup(writers: [], readers: [], removals: VersionVector())
            ).rows ?? 0
        }
    }

    private func expectEqual() throws {
        var first: (shown: [String], conflicts: [String], parked: [String])?
        for machine in members {
            guard let replica = machine.replica else { continue }
            machine.enterNode()
            if try replica.journalCount() > 0 { fail(["a journal has entries"], machine) }
            let found = (
                shown: try shownRows(machine),
                conflicts: try replica.conflicts().map(\.id).sorted(),
                parked: try replica.parkedRows().map { "\($0.table) \($0.key)" }.sorted()
            )
            guard let first else {
                first = found
                continue
            }
            if first.shown != found.shown {
                let tables = try replica.tableFacts().map { "\($0.name) \($0.state)" }
                fail(
                    ["shows\n  \(found.shown)\n  and not\n  \(first.shown)\n  of \(tables)"],
                    machine)
            }
            if first.conflicts != found.conflicts { fail(["other conflicts"], machine) }
            if first.parked != found.parked { fail(["parks other rows"], machine) }
        }
        try throwIfFailed()
    }

    /// Every file passes SQLite's check, the bookkeeping is consistent, and the oracle agrees.
    func inspect() throws {
        for machine in machines {
            guard let observed = machine.observed, let strict = machine.strict,
                machine.lockedUntil == nil, machine.diskTroubleUntil == nil,
                machine.nodeProcess?.isDead == false
            else { continue }
            machine.enterApp()
            if try strict.string("PRAGMA integrity_check") != "ok" {
                fail(["the file is damaged"], machine)
            }
            try attempt {
                try observed.local {
                    try observed.inner.fold()
                    if observed.inner.isScanning { return }
                    fail(try observed.inner.verify(), machine)
                    if let broken = observed.inner.problems["invariant"] { fail([broken], machine) }
                }
                guard plan.hasGhost, machine.nodeProcess?.isDead == false else { return }
                machine.enterNode()
                guard try observed.isSettled() else { return }
                let content = try GhostHistory.content(observed.inner)
                fail(ghost.checkWrites(content), machine)
                if try observed.inner.isWholeNow() {
                    fail(
                        ghost.checkWhole(
                            content, of: observed.inner.origin, vector: observed.inner.vector,
                            collected: collected[machine.index] ?? [:]), machine)
                }
            }
            bury(machine)
        }
        try throwIfFailed()
    }

    /// The rows of all tables by column names, since columns may stand in another order.
    private func shownRows(_ machine: Machine) throws -> [String] {
        guard let app = machine.strict else { return [] }
        machine.enterApp()
        var rows: [String] = []
        for table in plan.tables.sorted(by: { $0.name < $1.name }) {
            let columns = try app.query("PRAGMA table_info(\(table.quotedName))").map { row in
                if case .text(let bytes) = row[1] {
                    String(decoding: bytes, as: UTF8.self)
                } else {
                    ""
                }
            }.sorted()
            if columns.isEmpty { continue }
            let list = columns.map(quotedIdentifier).joined(separator: ", ")
            rows += try app.query("SELECT \(list) FROM \(table.quotedName)")
                .map { "\(table.name) \($0)" }.sorted()
        }
        return rows
    }
}

extension Value {
    fileprivate var shown: String {
        if case .text(let bytes) = self { return String(decoding: bytes, as: UTF8.self) }
        return "\(self)"
    }
}

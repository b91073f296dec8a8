// The list of members of a simulated group: an ordinary table of each machine's file, kept the same like
// any other, as in the real node.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork
import Values

/// What one machine's file says of the members.
final class SimulatedMembers {
    static let table = "members"
    static let schema =
        "CREATE TABLE IF NOT EXISTS members(node TEXT PRIMARY KEY NOT NULL, role TEXT NOT NULL, "
        + "origin TEXT NOT NULL DEFAULT '')"

    private unowned let machine: Machine
    private let replica: Replica
    private var seen: (digest: UInt64?, changes: UInt64, origin: Origin)?
    private var isRoleUnheard = false
    private var membership = Membership(roles: [:], origins: [:])

    init(_ machine: Machine, _ replica: Replica) throws {
        self.machine = machine
        self.replica = replica
        replica.copiedColumn = (Self.table, "origin")
        try replica.keepDeletedRows(of: Self.table)
    }

    private static func string(_ value: Value) -> String {
        if case .text(let bytes) = value { String(decoding: bytes, as: UTF8.self) } else { "" }
    }

    /// The table is there and tracked.
    func prepare() throws {
        let facts = try replica.tableFacts().first { $0.name == Self.table }
        guard facts?.state != "synced" else { return }
        try write(Self.schema)
        _ = try replica.track([Self.table], policy: .deleteWins)
        try replica.finishScans()
    }

    func look() throws -> Membership {
        let present = (
            digest: replica.digest(ofTable: Self.table),
            changes: replica.changeCount(ofTable: Self.table), origin: replica.origin
        )
        if let seen, seen == present {
            guard isRoleUnheard, try !isOwnRoleUnheard(membership) else { return membership }
        }
        var found = Membership(roles: [:], origins: [:])
        if !isBroken(.unlistedKept) {
            try replica.noteAuthor(replica.origin, node: machine.name, hasJoined: true)
        }
        for row in try replica.rows("SELECT node, role, origin FROM members") {
            let node = Self.string(row[0])
            found.roles[node] = Membership.Role(rawValue: Self.string(row[1]))
            if let origin = Origin(hex: Self.string(row[2])) {
                found.origins?[node] = origin
                if node == machine.name {
                    try replica.noteAuthor(origin, node: node, hasJoined: true)
                } else {
                    try replica.noteJoined(origin, node: node)
                }
            }
        }
        isRoleUnheard =
            try found.roles[machine.name] == .reader && isOwnRoleUnheard(found)
        if isRoleUnheard { found.roles[machine.name] = .writer }
        if found.roles[machine.name] == nil,
            try !replica.hasKernel(table: Self.table, key: [.string(machine.name)])
        {
            // Whoever let it in is believed until its own row has come.
            for other in machine.simulation.machines where other !== machine {
                found.roles[other.name] = found.roles[other.name] ?? .writer
            }
        }
        let founder = machine.simulation.founder.name
        if try !replica.hasKernel(table: Self.table, key: [.string(founder)]) {
            found.roles[founder] = .writer
        }
        found.removals = try replica.liveDots(inTable: Self.table)
        for origin in Set([found.origins?[machine.name], replica.origin].compactMap { $0 }) {
            found.joins[origin] = try replica.dots(
                table: Self.table, key: [.string(machine.name)], column: "origin",
                value: .string(origin.hex))
        }
        (replica.removedOrigins, replica.activeOrigins) = found.sortOrigins(
            authors: replica.knownAuthors, joined: replica.joinedOrigins, at: machine.name,
            under: replica.origin)
        replica.isReader = found.roles[machine.name] == .reader
        seen = present
        membership = found
        return found
    }

    private func isOwnRoleUnheard(_ known: Membership) throws -> Bool {
        try replica.isUnheard(
            table: Self.table, key: [.string(machine.name)], column: "role",
            value: .string("reader")
        ) { origin in
            guard let author = replica.knownAuthors[origin] else { return false }
            return known.origins?[author] != origin
        }
    }

    /// Whether the table has, or had, a row of this node.
    func wasMember(_ node: String) throws -> Bool {
        try replica.hasKernel(table: Self.table, key: [.string(node)])
    }

    /// Something is known now by which the list means something else.
    func lookAgain() { seen = nil }

    /// As any program does, from the node's own process.
    func write(_ sql: String) throws {
        do {
            let program = try Connection(path: machine.path, busyTimeoutMilliseconds: 0)
            try program.execute(sql)
        } catch let error as SQLiteError {
            throw StoreError(error.isBusy ? .busy : .disk, "\(error)")
        }
    }

    func noteJoined(_ node: String, _ origin: Origin, isAlone: Bool) throws {
        if node == machine.simulation.founder.name {
            // Its row did not come before all went back.
            try write("INSERT OR IGNORE INTO members VALUES('\(node)', 'writer', '')")
        }
        let others = isAlone ? "''" : "origin"
        try write(
            "UPDATE members SET origin = CASE node WHEN '\(node)' THEN '\(origin.hex)' ELSE "
                + "\(others) END")
    }
}

extension Machine {
    /// Whether it is a writer that takes part, as far as it knows.
    var canServe: Bool {
        node.engine.takesPart && lookAtMembers()?.roles[name] == .writer
    }

    /// Whether its file has a row of that member.
    func lists(_ node: String) -> Bool {
        enterApp()
        let found = try? lax?.first("SELECT 1 FROM members WHERE node = '\(node)'")
        return found != nil
    }
}

extension Simulation {
    /// Of two nodes the one with the lesser id decides: sometimes that is not the founder.
    var founder: Machine { machines[plan.isFounderLast ? foundingCount - 1 : 0] }

    /// The first machine founds the group and lets the others in.
    func foundGroup() throws {
        guard plan.keepsMembers else { return }
        // It may have died at its start: it starts again within seconds.
        for _ in 0..<20 where founder.replica == nil {
            bury(founder)
            network.run(for: 6_000)
        }
        // No handle of it is held: it may die again.
        guard let own = founder.replica?.origin.hex else {
            return fail("the founder does not start")
        }
        founder.enterApp()
        try founder.lax?.execute(SimulatedMembers.schema)
        for machine in machines {
            let origin = machine === founder ? own : ""
            try founder.lax?.execute(
                "INSERT OR IGNORE INTO members VALUES('\(machine.name)', 'writer', '\(origin)')")
        }
        // Whoever lets others in has its own row and theirs on disk before.
        for _ in 0..<20 {
            founder.enterNode()
            do {
                if try founder.observed?.summary() != nil { return }
            } catch is ProcessDied { bury(founder) }
            // It starts again within five seconds.
            network.run(for: 6_000)
        }
    }

    /// Some machine that runs programs lets a newcomer in, or changes what is said of a member.
    func changeMembers(_ sql: String, at machine: Machine) {
        machine.enterApp()
        do { try machine.lax?.execute(sql) } catch { note("\(machine.name) cannot: \(error)") }
    }

    /// A member is waited for no longer.
    func evict() {
        let machine = machines[generator.below(machines.count)]
        let other = machines[generator.below(machines.count)]
        note("\(machine.name) evicts \(other.name)")
        changeMembers("UPDATE members SET origin = '' WHERE node = '\(other.name)'", at: machine)
    }

    /// A member lets another go for good, which is no founder; two stay.
    func remove() {
        let members = members
        let others = members.filter { $0 !== founder }
        guard members.count > 2, !others.isEmpty else { return }
        let other = others[generator.below(others.count)]
        let left = members.filter { $0 !== other }
        let machine = left[generator.below(left.count)]
        // Whom it does not know it cannot remove.
        guard machine.lists(other.name) else { return }
        note("\(machine.name) removes \(other.name)")
        other.isRemoved = true
        changeMembers("DELETE FROM members WHERE node = '\(other.name)'", at: machine)
    }

    /// Those that somebody who knew them did not remove.
    var members: [Machine] { machines.filter { !$0.isRemoved } }

    /// The founder makes a member a reader, or a writer again.
    func changeRole() {
        // Two that make each other readers leave nobody who could change that.
        let machine = founder
        let others = machines.filter { $0 !== founder }
        let other = others[generator.below(others.count)]
        let role = chance(1, in: 2) ? "reader" : "writer"
        note("\(machine.name) makes \(other.name) a \(role)")
        setRole(role, of: other, at: machine)
    }

    func setRole(_ role: String, of other: Machine, at machine: Machine) {
        changeMembers(
            "UPDATE members SET role = '\(role)', origin = CASE WHEN role = 'reader' AND "
                + "'\(role)' = 'writer' THEN '' ELSE origin END WHERE node = '\(other.name)'",
            at: machine)
    }

    /// Everybody may write again, and whoever is not listed is let in.
    func healMembers() {
        // Whoever removed one may have gone back since, or have been a reader without knowing.
        for other in machines where other.isRemoved {
            changeMembers("DELETE FROM members WHERE node = '\(other.name)'", at: founder)
        }
        for other in members {
            changeMembers(
                "INSERT OR IGNORE INTO members VALUES('\(other.name)', 'writer', '')",
                at: founder)
            setRole("writer", of: other, at: founder)
        }
    }
}

// A scenario with whole nodes, for a rule that the order of their steps keeps from mattering in a random run.

import CausalModel
import SQLite
import Store
import Sync
import TestKit
import TestNetwork

extension Directed {
    /// A group with a list of members, and no faults.
    private static func group(of nodes: Int) throws -> Simulation {
        var options = Options()
        options.seed = 1
        options.nodes = nodes
        options.without = Set(Fault.allCases)
        options.keepsMembers = true
        return try Simulation(options)
    }

    /// Goes on for so long, but not with one copy after the other without end, as a broken rule may have it.
    private static func go(_ simulation: Simulation, for limit: Milliseconds) {
        let before = simulation.counts.joins
        simulation.network.run(for: limit) { simulation.counts.joins > before + 30 }
    }

    /// A member serves a copy that does not say that its receiver has joined: the others would collect
    /// without counting that one. It is not to take part by such a copy.
    static func copyWithoutJoining() throws -> [String] {
        let simulation = try group(of: 2)
        let members = simulation.machines
        guard let server = members.first(where: { $0 === simulation.founder }),
            let newcomer = members.first(where: { $0 !== server })
        else { return ["there is no founder"] }
        // It believes that it has written down who joined, and has not.
        server.node.engine.noteJoined = { _, _, _ in }
        server.node.engine.membership = { [unowned server, unowned newcomer] in
            var known = server.lookAtMembers()
            known?.origins?[newcomer.name] = newcomer.replica?.origin
            return known
        }
        go(simulation, for: 2_000)
        newcomer.enterNode()
        guard simulation.counts.joins > 0 || newcomer.replica?.isJoining == false else {
            return ["no copy came"]
        }
        return newcomer.replica?.isJoining == true
            ? [] : ["a newcomer takes part whose copy does not say that it has joined"]
    }
}

extension Directed {
    /// A member that another has removed serves a copy before it hears of that. Who took it has to take one
    /// more from those who know: they may have collected without counting either of the two.
    static func copyOfRemoved() throws -> [String] {
        let simulation = try group(of: 3)
        let network = simulation.network
        let knowing = simulation.founder
        let others = simulation.machines.filter { $0 !== knowing }
        let (removed, late) = (others[0], others[1])
        go(simulation, for: 10_000)
        for other in others { network.separate(knowing.node, other.node) }
        network.enter(late.node) { try? $0.rejoin(because: "a scenario", network.now) }
        go(simulation, for: 10_000)
        guard let replica = late.replica, !replica.isJoining else { return ["no copy came"] }
        let origin = replica.origin
        // It has let the same one in meanwhile, whose copy was another.
        knowing.node.engine.membership = { [unowned knowing, unowned removed, unowned late] in
            var known = knowing.lookAtMembers()
            known?.origins?[removed.name] = nil
            known?.origins?[late.name] = origin
            knowing.replica?.removedOrigins += [removed.replica?.origin].compactMap { $0 }
            return known
        }
        network.join(knowing.node, late.node)
        go(simulation, for: 20_000)
        late.enterNode()
        return late.replica?.origin != origin
            ? [] : ["a copy of one that was removed counts"]
    }

    /// Seed 9920161. All wait for a copy, in a row: the one that would decide does not see all of them, and
    /// the only one that does goes on.
    static func unseenDecides() throws -> [String] {
        let simulation = try group(of: 3)
        let network = simulation.network
        go(simulation, for: 10_000)
        let machines = simulation.machines.sorted { $0.name < $1.name }
        network.separate(machines[0].node, machines[1].node)
        for machine in machines {
            network.enter(machine.node) { try? $0.rejoin(because: "a scenario", network.now) }
        }
        let waiting = machines.filter { $0.replica?.isJoining == true }.count
        go(simulation, for: 60_000)
        let late = machines.filter { $0.replica?.isJoining != false }.map(\.name)
        guard waiting == 3 else { return ["only \(waiting) wait for a copy"] }
        return late.isEmpty ? [] : ["\(late) wait for a copy for ever"]
    }

    /// Seed 23 of CI's size. A member is out of date for one, and a third whom that one does not know would
    /// serve it a copy that is so, too.
    static func copyOfAnyTaken() throws -> [String] {
        let simulation = try group(of: 3)
        let network = simulation.network
        go(simulation, for: 10_000)
        let machines = simulation.machines.sorted { $0.name < $1.name }
        let (third, late, knowing) = (machines[0], machines[1], machines[2])
        guard let app = knowing.strict, let table = simulation.plan.tables.first else {
            return ["there is no table"]
        }
        for _ in 0..<100 { knowing.run(simulation.program.statement([table]), on: app) }
        simulation.committed(knowing)
        go(simulation, for: 10_000)
        for other in [late, third] { network.separate(knowing.node, other.node) }
        // It has removed both: what it deletes goes at once.
        let look: () -> Membership? = { [unowned knowing] in knowing.lookAtMembers() }
        knowing.node.engine.membership = {
            var known = look()
            known?.roles = [knowing.name: .writer]
            let own = known?.origins?.filter { $0.key == knowing.name }
            known?.origins = own
            return known
        }
        knowing.run("DELETE FROM \(table.quotedName)", on: app)
        simulation.committed(knowing)
        go(simulation, for: 30_000)
        guard knowing.replica?.floor.isEmpty == false else { return ["nothing was collected"] }
        knowing.node.engine.membership = look
        network.join(knowing.node, late.node)
        go(simulation, for: 60_000)
        guard let wanted = knowing.replica?.vector, let has = late.replica?.vector else {
            return ["a node does not run"]
        }
        return has.covers(wanted)
            ? [] : ["a member takes its copies of one that is out of date itself"]
    }

    /// Seed 10424954. A later word hides that a member has joined, after each copy again: it is not to take
    /// copies without end.
    static func rejoinsAtOnce() throws -> [String] {
        let simulation = try group(of: 2)
        go(simulation, for: 10_000)
        guard let late = simulation.machines.first(where: { $0 !== simulation.founder }) else {
            return ["there is no member"]
        }
        late.node.engine.membership = { [unowned late] in
            var known = late.lookAtMembers()
            if late.replica?.isJoining == false {
                known?.origins?[late.name] = Origin(high: 1, low: 1)
            }
            return known
        }
        let before = simulation.counts.joins
        go(simulation, for: 60_000)
        let count = simulation.counts.joins - before
        guard count > 0 else { return ["it never took a copy"] }
        return count < 15 ? [] : ["a member takes one copy after the other"]
    }

    /// Seed 10410385. A row has come half of somebody whom nobody knows, and who does not come again.
    static func unknownKept() throws -> [String] {
        let simulation = try group(of: 2)
        go(simulation, for: 10_000)
        let folder = TemporaryDirectory()
        let stranger = try replica("stranger", in: folder, 9)
        let app = try Connection(path: folder.file("stranger"))
        try app.execute("CREATE TABLE u(id INTEGER PRIMARY KEY, a)")
        _ = try stranger.track(["u"])
        try stranger.finishScans()
        try app.execute("INSERT INTO u VALUES(1, 'one'), (2, 'two')")
        try stranger.fold()
        stranger.bounds.chunkRowsMax = 1
        guard let half = try stranger.openDelta(base: VersionVector(), resume: nil),
            let chunk = try half.next(), let member = simulation.machines.first,
            let replica = member.replica
        else { return ["there is no delta"] }
        defer { half.close() }
        member.enterNode()
        _ = try replica.adoptSchema(try stranger.schemaDescription())
        try replica.finishScans()
        _ = try replica.apply(chunk, of: half.header)
        guard try !replica.summary().isWhole else { return ["nothing came half"] }
        let network = simulation.network
        network.enter(member.node) { $0.storeChanged(now: network.now) }
        go(simulation, for: 600_000)
        member.enterNode()
        return try replica.summary().isWhole ? [] : ["a row stays half received for ever"]
    }

    /// Seed 9970454. A member that was evicted, and does not know it, has made a reader of the one that
    /// tells it to take a copy, which does not know that either.
    static func listedReaderOutranked() throws -> [String] {
        let simulation = try group(of: 2)
        go(simulation, for: 10_000)
        let machines = simulation.machines.sorted { $0.name < $1.name }
        let (evicted, other) = (machines[0], machines[1])
        guard let origin = evicted.replica?.origin, other.replica?.isJoining == false else {
            return ["no copy came"]
        }
        simulation.network.separate(evicted.node, other.node)
        go(simulation, for: 1_000)
        evicted.node.engine.membership = { [unowned evicted, unowned other] in
            var known = evicted.lookAtMembers()
            if evicted.replica?.origin == origin { known?.roles[other.name] = .reader }
            return known
        }
        other.node.engine.membership = { [unowned evicted, unowned other] in
            var known = other.lookAtMembers()
            if known?.origins?[evicted.name] == origin { known?.origins?[evicted.name] = nil }
            return known
        }
        simulation.network.join(evicted.node, other.node)
        go(simulation, for: 20_000)
        evicted.enterNode()
        return evicted.replica?.origin != origin && evicted.replica?.isJoining == false
            ? [] : ["who lists a reader heeds it no more when that one says that it writes"]
    }

    /// Seed 9950002. A replica has a change that somebody made before it joined the group, in a row that
    /// the copy brings, too; that one has another origin since, as the list of members says.
    static func unlistedKept() throws -> [String] {
        let folder = TemporaryDirectory()
        let pair = try pair(.addWins, folder, ["SELECT 1", "UPDATE t SET b = 'early'"])
        let third = try replica("third", in: folder, 3)
        _ = try third.adoptSchema(try pair[0].schemaDescription())
        try third.finishScans()
        try send(pair[1], third)
        let listed = ["zero": pair[0].origin, "one": Origin(high: 9, low: 9)]
        try third.noteAuthor(pair[1].origin, node: "one")
        for (node, origin) in listed { try third.noteJoined(origin, node: node) }
        let members = Membership(roles: ["zero": .writer, "one": .writer], origins: listed)
        (third.removedOrigins, third.activeOrigins) = members.sortOrigins(
            authors: third.knownAuthors, joined: third.joinedOrigins, at: "third",
            under: third.origin)
        try third.beginJoining(because: "a scenario")
        try send(pair[0], third)
        try third.settleJoining()
        return try third.summary().isWhole
            ? [] : ["what a member wrote before it joined is waited for from it"]
    }

    /// Seed 9601115. A member has an older list, by which a reader writes, and takes what that one serves.
    static func readerServes() throws -> [String] {
        let simulation = try group(of: 2)
        go(simulation, for: 10_000)
        let machines = simulation.machines.sorted { $0.name < $1.name }
        let (writer, reader) = (machines[0], machines[1])
        guard let app = reader.strict, let table = simulation.plan.tables.first else {
            return ["there is no table"]
        }
        reader.node.engine.membership = { [unowned reader] in
            var known = reader.lookAtMembers()
            known?.roles[reader.name] = .reader
            return known
        }
        for _ in 0..<20 { reader.run(simulation.program.statement([table]), on: app) }
        simulation.committed(reader)
        go(simulation, for: 10_000)
        guard let has = writer.replica?.vector, let origin = reader.replica?.origin,
            let wrote = reader.replica?.vector[origin], wrote > 0
        else { return ["the reader wrote nothing"] }
        return has[origin] < wrote ? [] : ["what a reader wrote was taken from it"]
    }
}

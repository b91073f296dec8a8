// The real store with an observer: who changed what is told to the ghost history, every call of a
// dead process ends in an error, and what a session may not do is noticed.

import CausalModel
import Codec
import Store
import Sync

/// The process is dead; nothing that its code still does counts.
struct ProcessDied: Error {}

final class ObservedReplica: LogReplica {
    let inner: Replica
    unowned let machine: Machine
    /// The kernels as they were last seen.
    private var content: GhostHistory.Content = [:]
    /// Local changes were made since.
    private(set) var isBehind = false

    init(_ inner: Replica, _ machine: Machine) {
        self.inner = inner
        self.machine = machine
    }

    private var simulation: Simulation { machine.simulation }

    func alive<Result>(_ body: () throws -> Result) throws -> Result {
        guard let process = machine.nodeProcess, !process.isDead else { throw ProcessDied() }
        machine.enterNode()
        let result = Swift.Result { try body() }
        guard !process.isDead else { throw ProcessDied() }
        return try result.get()
    }

    // MARK: Observation

    // A cell that shows has its value in the program's table, so values belong to their dots only
    // while the journal is empty; what cannot be observed yet is observed together with the next
    // local change. Nothing of a peer can be joined in between: that folds first.

    /// The process has started: `body` looks at the marker and may take a new origin, then all is
    /// folded, and what the predecessor did between its last observation and its death is seen.
    func afterStart(_ body: () throws -> Void) throws {
        var origins = simulation.originsOf[machine.index, default: []].union([inner.origin])
        // The dots alone, whatever their values.
        let structure = simulation.plan.hasGhost ? try GhostHistory.content(inner) : [:]
        let last = simulation.lastContent[machine.index] ?? [:]
        noteCollected(last, structure)
        let isOlder = last.values.contains { $0.keys.contains { isLost($0, of: origins) } }
        try body()
        if inner.isJoining, !inner.isSettling { simulation.settling[machine.index] = nil }
        try inner.lookAtSchema()
        origins.formUnion(inner.ownOrigins)
        simulation.originsOf[machine.index] = origins
        guard simulation.plan.hasGhost else { return }
        // Either it died in a local change, or what is new came from peers.
        let hasOwn = simulation.ghost.hasNews(structure, origins: origins)
        if hasOwn, isOlder {
            // Power was lost, and the file stands between two looks: what its own changes replaced there
            // nobody can tell.
            simulation.note("\(machine.name) went back to where nobody looked: the oracle goes")
            simulation.plan.hasGhost = false
            return
        }
        content = hasOwn ? last : structure
        isBehind = true
        try local {
            try inner.fold()
            try inner.finishScans()
        }
    }

    /// Whether this replica has given the number, and its file does not know.
    private func isLost(_ dot: Dot, of origins: Set<Origin>) -> Bool {
        origins.contains(dot.origin) && dot.number > inner.vector[dot.origin]
    }

    private func keep(_ content: GhostHistory.Content) {
        self.content = content
        simulation.lastContent[machine.index] = content
    }

    /// A change that only this replica makes.
    @discardableResult
    func local<Result>(_ body: () throws -> Result) throws -> Result {
        guard simulation.plan.hasGhost else { return try alive(body) }
        let origins = inner.ownOrigins
        let numbers = origins.map { inner.vector[$0] }
        let outcome = Swift.Result { try alive(body) }
        guard let process = machine.nodeProcess, !process.isDead else { throw ProcessDied() }
        simulation.originsOf[machine.index, default: []].formUnion(origins.union(inner.ownOrigins))
        if origins.map({ inner.vector[$0] }) != numbers || inner.ownOrigins != origins {
            isBehind = true
        }
        if isBehind, try !isSettled() {
            // Whoever looks at a scan half done could not tell whose the rest is.
            try alive {
                try inner.fold()
                try inner.finishScans()
            }
            guard try isSettled() else { throw StoreError(.busy, "the journal is not empty") }
        }
        if isBehind {
            isBehind = false
            let after = try GhostHistory.content(inner)
            let origins = simulation.originsOf[machine.index] ?? []
            simulation.explain {
                "\(machine.name) folded: " + GhostHistory.difference(content, after)
            }
            // Who makes a collected row anew has seen its delete.
            let gone = (simulation.collected[machine.index] ?? [:])
                .filter { after[$0.key] != nil && content[$0.key] == nil }
            let known = content.merging(gone) { present, _ in present }
            let before = noteSettled(known, after)
            simulation.fail(simulation.ghost.local(before, after, origins: origins), machine)
            keep(after)
            try check(after)
        }
        return try outcome.get()
    }

    /// What a copy brings and what it does not: rows that it has seen deleted and does not have any more
    /// count as collected here too, and who makes one anew has seen that.
    private func noteSettled(
        _ before: GhostHistory.Content, _ after: GhostHistory.Content
    ) -> GhostHistory.Content {
        guard let copied = simulation.settling[machine.index] else { return before }
        if !inner.isJoining { simulation.settling[machine.index] = nil }
        var before = before
        for name in before.keys.sorted() where after[name] == nil {
            simulation.explain {
                "\(machine.name) lets go of \(name), of which the copy knows "
                    + simulation.ghost.text(name, under: copied)
            }
        }
        for (name, deleted) in simulation.ghost.deleted(under: copied) {
            let held = before[name] ?? [:]
            if after[name] == nil {
                before[name] = nil
                simulation.collected[machine.index, default: [:]][name] = deleted
                simulation.ghost.noteCollected(name, deleted)
            } else if deleted.allSatisfy({ !$0.value.isPresent || held[$0.key] == nil }),
                after[name]?.keys.contains(where: { held[$0] == nil }) == true
            {
                before[name] = held.merging(deleted) { present, _ in present }
            }
        }
        return before
    }

    /// Every value in a program's table belongs to a dot.
    func isSettled() throws -> Bool { try inner.journalCount() == 0 && !inner.isScanning }

    private func check(_ content: GhostHistory.Content) throws {
        simulation.fail(simulation.ghost.checkWrites(content), machine)
        guard try inner.isWholeNow() else { return }
        simulation.fail(
            simulation.ghost.checkWhole(
                content, of: inner.origin, vector: inner.vector,
                collected: simulation.collected[machine.index] ?? [:]), machine)
    }

    /// What was deleted, lies below the floor and is gone was collected.
    private func noteCollected(_ before: GhostHistory.Content, _ after: GhostHistory.Content) {
        for (name, writes) in before
        where after[name] == nil && writes.keys.allSatisfy(inner.floor.contains)
            && !writes.values.contains(where: { $0.isPresent && !$0.isDelete })
        {
            simulation.collected[machine.index, default: [:]][name] = writes
            simulation.ghost.noteCollected(name, writes)
        }
    }

    /// Joins what a peer sent. Local changes come before, so that they can be told apart.
    func receive<Result>(_ body: () throws -> Result) throws -> Result {
        if simulation.plan.hasGhost {
            try local {
                try inner.fold()
                try inner.finishScans()
            }
            guard try isSettled() else { throw StoreError(.busy, "the journal is not empty") }
        }
        let result = Swift.Result { try alive(body) }
        guard let process = machine.nodeProcess, !process.isDead else { throw ProcessDied() }
        if inner.isSettling, let copied = inner.joiningVector {
            simulation.settling[machine.index] = copied
        }
        if simulation.plan.hasGhost, try isSettled() {
            let after = try GhostHistory.content(inner)
            simulation.explain {
                "\(machine.name) joined: " + GhostHistory.difference(content, after)
            }
            keep(after)
            if simulation.shouldLook() { try check(after) }
        }
        return try result.get()
    }

    // MARK: SyncReplica

    func summary() throws -> ReplicaSummary { try summary(whileReceiving: false) }

    func summary(whileReceiving: Bool) throws -> ReplicaSummary {
        let summary = try local { try inner.summary(whileReceiving: whileReceiving) }
        simulation.compare(summary, of: machine)
        return summary
    }

    func openDelta(base: VersionVector, resume: ResumePoint?) throws -> (any DeltaSource)? {
        try local { try inner.openDelta(base: base, resume: resume) }
    }

    func resumePoint(from source: Origin) throws -> ResumePoint? {
        try alive { try inner.resumePoint(from: source) }
    }

    func apply(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        let before = inner.vector
        explainTaken("a chunk", header, chunk)
        let outcome = try receive { try inner.apply(chunk, of: header) }
        simulation.received(chunk, of: header, at: machine)
        // Folding may move the own entry; nothing else may move before END.
        for entry in inner.vector.entries
        where !inner.ownOrigins.contains(entry.origin) && entry.number > before[entry.origin] {
            simulation.fail(["a chunk moved the vector"], machine)
        }
        return outcome
    }

    func finish(_ header: DeltaHeader) throws -> ApplyOutcome {
        explainTaken("the end", header, nil, isEnd: true)
        return try receive { try inner.finish(header) }
    }

    func applyWhole(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        explainTaken("all", header, chunk, isEnd: true)
        let outcome = try receive { try inner.applyWhole(chunk, of: header) }
        simulation.received(chunk, of: header, at: machine)
        return outcome
    }

    func schemaDescription() throws -> CBOR {
        try local { try inner.schemaDescription() }
    }

    func adoptSchema(_ description: CBOR) throws -> Bool {
        let result = try receive { try inner.adoptSchema(description) }
        simulation.learnTables(machine)
        return result
    }

    func noteStatement(
        of peer: String, name: String, origin: Origin, vector: VersionVector
    ) throws {
        try alive {
            try inner.noteStatement(of: peer, name: name, origin: origin, vector: vector)
        }
    }

    func noteAuthor(_ origin: Origin, _ node: String) throws {
        try alive { try inner.noteAuthor(origin, node: node) }
    }

    func peerStatements() throws -> [PeerStatement] { try alive { try inner.peerStatements() } }

    func noteReport(
        of node: String, name: String, origin: Origin, vector: VersionVector?,
        ageMilliseconds: Int64
    ) throws -> Bool {
        try alive {
            try inner.noteReport(
                of: node, name: name, origin: origin, vector: vector,
                ageMilliseconds: ageMilliseconds)
        }
    }

    var hasDeletedRows: Bool { get throws { try alive { try inner.hasDeletedRows } } }

    func hasGoneBack(_ peer: String, origin: Origin, vector: VersionVector) throws -> Bool {
        try alive { try inner.hasGoneBack(peer, origin: origin, vector: vector) }
    }

    var removedOrigins: [Origin] { inner.removedOrigins }
    var endedOrigins: [Origin] { inner.endedOrigins }
    func holds(_ dot: Dot) -> Bool { inner.holds(dot) }
    var isSettling: Bool { inner.isSettling }
    var hasCopyBegun: Bool { inner.hasCopyBegun }
    var continuedOrigins: [Origin] { inner.continuedOrigins }
    var joiningVector: VersionVector? { inner.joiningVector }

    func beginJoining(because reason: String, isBehind: Bool) throws {
        simulation.note("\(machine.name) begins to join: \(reason)")
        simulation.counts.joins += 1
        if simulation.counts.joins > 50 + 20 * simulation.step {
            simulation.fail(["begins to join again and again: \(reason)"], machine)
        }
        simulation.forgetChunks(of: machine)
        simulation.settling[machine.index] = nil
        try local { try inner.beginJoining(because: reason, isBehind: isBehind) }
    }

    func settleJoining() throws {
        simulation.ghost.forgetRevivals(by: inner.origin)
        try local { try inner.settleJoining() }
        if !inner.isJoining { simulation.note("\(machine.name) takes part") }
    }

    func endJoiningAlone() throws {
        try local { try inner.fold() }
        simulation.settling[machine.index] = inner.joiningVector
        simulation.ghost.revive(content, by: inner.origin)
        try local { try inner.endJoiningAlone() }
        simulation.note("\(machine.name) goes on alone")
    }

    func takeNewOrigin(because reason: String) throws {
        simulation.note("\(machine.name) takes a new origin: \(reason)")
        try local {
            if simulation.plan.keepsMembers {
                try inner.continueUnderNewOrigin(because: reason)
            } else {
                try inner.takeNewOrigin(because: reason)
            }
        }
    }

    func collect(_ group: StabilityGroup) throws -> CollectOutcome {
        func collect() throws -> CollectOutcome {
            let outcome = try alive { try inner.collect(group) }
            simulation.counts.collected += outcome.rows
            return outcome
        }
        guard simulation.plan.hasGhost else { return try collect() }
        try local {
            try inner.fold()
            try inner.finishScans()
        }
        guard try isSettled() else { throw StoreError(.busy, "the journal is not empty") }
        let before = content
        let outcome = try collect()
        let after = try GhostHistory.content(inner)
        noteCollected(before, after)
        for (name, writes) in before.sorted(by: { $0.key < $1.key }) where after[name] != writes {
            simulation.explain { "\(machine.name) collects \(name)" }
            simulation.fail(
                after[name] == nil
                    ? checkStable(name, writes) : ["a collection changed \(name)"], machine)
        }
        keep(after)
        return outcome
    }

    /// Nobody has a change of this row that is news here and whose writer had not seen what is gone.
    private func checkStable(_ name: GhostHistory.RowName, _ gone: [Dot: GhostHistory.Write])
        -> [String]
    {
        var held: Set<Dot> = []
        let members = machine.lookAtMembers()
        for other in simulation.machines where other !== machine && other.observed != nil {
            // What is not taken from there cannot come from there.
            if let origins = members?.origins,
                origins[other.name] != other.replica?.origin
                    || members?.roles[other.name] != .writer
            {
                continue
            }
            held.formUnion((simulation.lastContent[other.index]?[name] ?? [:]).keys)
        }
        return simulation.ghost.checkCollected(
            name, gone, vector: inner.vector, heldElsewhere: held.sorted())
    }

    func reissueLost(except live: Set<Origin>, unknown: [Origin]) throws -> Int {
        let rows = try local { try inner.reissueLost(except: live, unknown: unknown) }
        if rows > 0 { simulation.note("\(machine.name) issues \(rows) rows again") }
        simulation.counts.reissued += rows
        return rows
    }

    func unknownOrigins() throws -> [Origin] { try inner.unknownOrigins() }
}

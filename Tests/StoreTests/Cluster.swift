// Replicas on real files, a program that writes them with plain SQL, and exchange without a
// network.

import CausalModel
import SQLite
import Store
import TestKit
import Values

/// Several replicas with a common clock that the test moves.
final class Cluster {
    final class Member {
        let path: String
        var replica: Replica
        /// The app: another connection, with its own settings.
        let app: Connection
        let name: String

        init(path: String, replica: Replica, app: Connection, name: String) {
            self.path = path
            self.replica = replica
            self.app = app
            self.name = name
        }
    }

    final class Clock {
        var milliseconds: Int64 = 1_800_000_000_000
        var generator: SeededGenerator
        init(seed: UInt64) { generator = SeededGenerator(seed: seed) }
    }

    let folder = TemporaryDirectory()
    let clock: Clock
    private(set) var members: [Member] = []

    init(_ count: Int, schema: String = "", track: [String] = [], seed: UInt64 = 1) throws {
        clock = Clock(seed: seed)
        for index in 0..<count {
            try add("n\(index)", schema: schema, track: track)
        }
    }

    @discardableResult
    func add(_ name: String, schema: String = "", track: [String] = []) throws -> Member {
        let path = folder.file("\(name).db")
        let app = try Connection(path: path)
        try app.execute("PRAGMA foreign_keys = ON")
        if !schema.isEmpty { try app.execute(schema) }
        let member = Member(path: path, replica: try open(path), app: app, name: name)
        if !track.isEmpty {
            _ = try member.replica.track(track)
            try member.replica.finishScans()
        }
        members.append(member)
        return member
    }

    var environment: Replica.Environment {
        let clock = clock
        return Replica.Environment(
            wallClock: { clock.milliseconds }, random: { clock.generator.next() })
    }

    func open(_ path: String) throws -> Replica {
        try Replica(path: path, environment: environment)
    }

    subscript(_ index: Int) -> Member { members[index] }

    /// One delta from one to the other, END included. Returns the rows that were sent.
    @discardableResult
    func send(_ from: Int, _ to: Int) throws -> Int {
        let sender = members[from].replica
        let receiver = members[to].replica
        _ = try sender.fold()
        try sender.finishScans()
        if try sender.summary().schemaFingerprint != receiver.summary().schemaFingerprint {
            _ = try receiver.adoptSchema(try sender.schemaDescription())
            try receiver.finishScans()
        }
        guard
            let delta = try sender.openDelta(base: try receiver.summary().vector, resume: nil)
        else { return 0 }
        defer { delta.close() }
        var rows = 0
        while let chunk = try delta.next() {
            rows += chunk.rows
            _ = try receiver.apply(chunk, of: delta.header)
        }
        _ = try receiver.finish(delta.header)
        return rows
    }

    /// Everyone to everyone until nothing moves.
    func converge(rounds: Int = 4) throws {
        for _ in 0..<rounds {
            for from in members.indices {
                for to in members.indices where from != to { try send(from, to) }
            }
        }
    }

    /// What a table shows at one member.
    func rows(_ member: Int, _ sql: String) throws -> [[Value]] {
        try members[member].app.query(sql)
    }

    func digests() throws -> [UInt64] { try members.map { try $0.replica.summary().digest } }
}

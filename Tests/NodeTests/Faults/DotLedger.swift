// What each dot has been seen to name, in any file at any moment: a dot names one change for ever.

import CausalModel
import Node
import SQLite
import Store
import Testing
import Values

/// Collects dots from copies of files and from stopped nodes, and remembers contradictions.
struct DotLedger {
    private var changes: [Dot: String] = [:]
    private var values: [String: Value] = [:]
    private(set) var contradictions: [String] = []
    var count: Int { changes.count }

    /// Adds everything that the file's kernels say.
    ///
    /// - Parameter file: of no running node; it is opened as a node opens it.
    mutating func add(_ file: String, seenAt place: String) throws {
        let replica = try Replica(path: file, environment: .system)
        var found: [KernelFacts] = []
        try replica.forEachKernel { found.append($0) }
        // Where a journal waits, the tables are ahead of the kernels whose values they hold.
        let areValuesKnown = try replica.journalCount() == 0
        for facts in found {
            for write in facts.kernel.writes {
                add(write, of: facts, areValuesKnown: areValuesKnown, place)
            }
        }
    }

    private mutating func add(
        _ write: Write, of facts: KernelFacts, areValuesKnown: Bool, _ place: String
    ) {
        let name = "\(write.dot.origin.hex.prefix(8)):\(write.dot.number)"
        let change =
            "\(facts.table) \(facts.key) stamp \(write.stamp.raw) birth \(write.birth.stamp.raw) of "
            + "\(write.birth.origin.hex.prefix(8)) \(write.isDelete ? "delete" : "write")"
        if let earlier = changes[write.dot], earlier != change {
            contradictions.append("\(name) is \(earlier), and in \(place) \(change)")
        }
        changes[write.dot] = change
        for entry in write.values where areValuesKnown {
            let cell = "\(name) \(facts.columns[Int(entry.column)])"
            if let earlier = values[cell], earlier != entry.value {
                contradictions.append("\(cell) has two values, the later in \(place)")
            }
            values[cell] = entry.value
        }
    }

    /// A consistent copy of a database that others have open.
    static func copy(_ file: String, to path: String) throws {
        let connection = try Connection(path: file, mode: .readWrite)
        try connection.run("VACUUM INTO ?1", [.text(Array(path.utf8))])
    }
}

extension TestNode {
    /// What contradicts itself in the file of a stopped node.
    func contradictions() throws -> [String] {
        try Replica(path: file, environment: .system).verify()
    }
}

extension Flock {
    /// What holds for stopped nodes that were equal: whole files, kernels that the tables show, and
    /// no dot with two meanings.
    func expectProof(
        of nodes: [TestNode], at place: SourceLocation = #_sourceLocation
    ) async throws {
        var ledger = DotLedger()
        for node in nodes {
            try await node.expectSound(at: place)
            let found = try node.contradictions()
            expect(found.isEmpty, "\(node.name): \(found)", at: place)
            try ledger.add(node.file, seenAt: node.name)
        }
        expect(ledger.contradictions.isEmpty, "\(ledger.contradictions)", at: place)
    }
}

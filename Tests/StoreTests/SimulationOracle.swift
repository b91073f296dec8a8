// What must be in every replica at the end, told without joins, vectors or contexts: what was
// written, less what a writer replaced in its own replica.

import CausalModel
import Store
import Values

/// Ghost history of one simulated cluster.
///
/// Fed with the kernels of one replica before and after each local change. A dot's value may never
/// change anywhere; a write is alive at the end unless some local change removed it.
struct SimulationOracle {
    struct RowName: Hashable {
        var table: String
        var key: [UInt8]
    }

    struct LiveWrite: Hashable {
        var isPresent: Bool
        var isDelete: Bool
        var stamp: Stamp
        var birth: Birth
        var cells: [String: Value]
    }

    typealias Content = [RowName: [Dot: LiveWrite]]

    private(set) var created: [RowName: [Dot: LiveWrite]] = [:]
    private(set) var failures: [String] = []

    static func content(_ replica: Replica) throws -> Content {
        var content: Content = [:]
        try replica.forEachKernel { facts in
            var writes: [Dot: LiveWrite] = [:]
            for write in facts.kernel.writes {
                var cells: [String: Value] = [:]
                for item in write.values { cells[facts.columns[Int(item.column)]] = item.value }
                writes[write.dot] = LiveWrite(
                    isPresent: write.isPresent, isDelete: write.isDelete, stamp: write.stamp,
                    birth: write.birth, cells: cells)
            }
            content[RowName(table: facts.table.lowercased(), key: facts.key)] = writes
        }
        return content
    }

    /// A local change of one replica: what it added is new, what it took away was replaced.
    mutating func local(_ before: Content, _ after: Content, origins: Set<Origin>) {
        for (name, writes) in after {
            for (dot, write) in writes where before[name]?[dot] == nil {
                if !origins.contains(dot.origin) {
                    failures.append("a local change brought a foreign dot into \(name)")
                }
                if let known = created[name]?[dot] {
                    failures.append("dot \(dot.number) of \(name) came twice: \(known)")
                }
                live[name, default: [:]][dot] = write
                created[name, default: [:]][dot] = write
            }
        }
        for (name, writes) in before {
            for (dot, write) in writes {
                let left = after[name]?[dot]
                if write.isPresent, left?.isPresent != true { live[name]?[dot]?.isPresent = false }
                for column in write.cells.keys where left?.cells[column] == nil {
                    live[name]?[dot]?.cells[column] = nil
                }
            }
        }
    }

    private var live: Content = [:]

    /// Every value that a replica holds is the one that was written.
    mutating func check(_ content: Content, at member: String) {
        for (name, writes) in content {
            for (dot, write) in writes {
                guard let known = created[name]?[dot] else {
                    failures.append("\(member) has a dot nobody wrote, in \(name)")
                    continue
                }
                for (column, value) in write.cells where known.cells[column] != value {
                    failures.append(
                        "\(member): dot \(dot.number) of \(name.table) \(name.key) has another "
                            + "value in \(column): \(value), written "
                            + String(describing: known.cells[column])
                    )
                }
                if known.stamp != write.stamp || known.birth != write.birth
                    || known.isDelete != write.isDelete
                {
                    failures.append("\(member): dot \(dot.number) of \(name) was altered")
                }
            }
        }
    }

    /// At the end every replica holds just what nobody replaced, less what it has collected.
    mutating func checkEnd(_ content: Content, collected: Content, at member: String) {
        var expected: Content = [:]
        for (name, writes) in live {
            for (dot, write) in writes where write.isPresent || !write.cells.isEmpty {
                expected[name, default: [:]][dot] = write
            }
        }
        for name in Set(expected.keys).union(content.keys) {
            let held = Self.spoken(content[name])
            let wanted = expected[name] ?? [:]
            if held.isEmpty, wanted == Self.spoken(collected[name]) { continue }
            if held != wanted {
                failures.append(
                    "\(member) holds of \(name.table) \(name.key)\n  \(held)\n"
                        + "  and not\n  \(wanted)"
                )
            }
        }
    }

    /// Less what holds only columns without values: that says nothing that could be lost.
    private static func spoken(_ writes: [Dot: LiveWrite]?) -> [Dot: LiveWrite] {
        (writes ?? [:]).filter { $0.value.isPresent || !$0.value.cells.isEmpty }
    }
}

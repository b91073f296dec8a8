// The oracle of a simulated cluster: what must be alive in a replica, told from its version vector
// and from who replaced what, without joins, contexts or half-received rows.

import CausalModel
import Store
import Values

/// Every write that was ever made, with the dots that replaced its parts where they were made.
///
/// It is fed with the kernels of one replica before and after each local change. For a whole
/// replica with vector V, a part of a write is alive if V covers the write and none of its
/// replacers: the declarative function of the events under V. A dot names one write for ever.
struct GhostHistory {
    struct RowName: Hashable, Comparable, CustomStringConvertible {
        var description: String {
            "\(table)/" + key.map { String($0, radix: 16) }.joined(separator: ".")
        }

        var table: String
        var key: [UInt8]

        static func < (left: RowName, right: RowName) -> Bool {
            left.table != right.table
                ? left.table < right.table : left.key.lexicographicallyPrecedes(right.key)
        }
    }

    struct Write: Hashable, CustomStringConvertible {
        var description: String {
            (isPresent ? isDelete ? "-" : "+" : " ")
                + " \(stamp.milliseconds).\(stamp.raw & 0xffff)"
                + " born \(birth.stamp.milliseconds) "
                + cells.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                .joined(separator: " ")
        }

        var isPresent: Bool
        var isDelete: Bool
        var stamp: Stamp
        var birth: Birth
        var cells: [String: Value]
    }

    typealias Content = [RowName: [Dot: Write]]

    private struct Event {
        var write: Write
        var presenceReplacers: [Dot] = []
        var cellReplacers: [String: [Dot]] = [:]
        /// By the origin of a replica that went on from a file in which a part of this is alive.
        var revivals: [Origin: Revival] = [:]
        /// The writes of this row that its writer had seen.
        var saw: Set<Dot> = []
    }

    /// What had replaced the living parts of a write elsewhere until then counts no more for whoever follows
    /// the origin.
    private struct Revival {
        var presence: Set<Dot> = []
        var cells: [String: Set<Dot>] = [:]
    }

    private var events: [RowName: [Dot: Event]] = [:]
    /// Deletes that somebody has collected: whoever hears of the row after that never has them.
    private var forgotten: [RowName: Set<Dot>] = [:]
    private(set) var writeCount = 0
    private(set) var checks = 0

    /// The kernels of a replica by names that mean the same everywhere. Complexity: O(rows).
    static func content(_ replica: Replica) throws -> Content {
        var content: Content = [:]
        try replica.forEachKernel { facts in
            var writes: [Dot: Write] = [:]
            for write in facts.kernel.writes {
                var cells: [String: Value] = [:]
                for item in write.values { cells[facts.columns[Int(item.column)]] = item.value }
                writes[write.dot] = Write(
                    isPresent: write.isPresent, isDelete: write.isDelete, stamp: write.stamp,
                    birth: write.birth, cells: cells)
            }
            content[RowName(table: facts.table.lowercased(), key: facts.key)] = writes
        }
        return content
    }

    /// Own dots of `after` that nobody has recorded yet.
    func hasNews(_ after: Content, origins: Set<Origin>) -> Bool {
        after.contains { name, writes in
            writes.keys.contains { origins.contains($0.origin) && events[name]?[$0] == nil }
        }
    }

    /// A local change of one replica: what it added is new, what it took away it replaced.
    mutating func local(_ before: Content, _ after: Content, origins: Set<Origin>) -> [String] {
        var failures: [String] = []
        for (name, writes) in after {
            for (dot, write) in writes where before[name]?[dot] == nil {
                if !origins.contains(dot.origin) {
                    failures.append("a local change brought a foreign dot into \(name)")
                }
                if events[name]?[dot] != nil {
                    failures.append("dot \(dot.number) names two writes of \(name)")
                }
                events[name, default: [:]][dot] = Event(
                    write: write, saw: seen(in: name, before[name] ?? [:]))
                writeCount += 1
            }
        }
        for (name, writes) in before where after[name] != writes {
            let fresh = (after[name] ?? [:]).keys.filter { before[name]?[$0] == nil }
            for (dot, write) in writes {
                let left = after[name]?[dot]
                var isTaken = false
                if write.isPresent, left?.isPresent != true {
                    events[name]?[dot]?.presenceReplacers += fresh
                    isTaken = true
                }
                for column in write.cells.keys where left?.cells[column] == nil {
                    events[name]?[dot]?.cellReplacers[column, default: []] += fresh
                    isTaken = true
                }
                if isTaken, fresh.isEmpty {
                    failures.append("dot \(dot.number) of \(name) was replaced by nothing")
                }
            }
        }
        return failures
    }

    /// A replica goes on from its file, as nobody has anything else to go on from: what is alive in it stays,
    /// though lives that were lost had replaced it.
    mutating func revive(_ content: Content, by origin: Origin) {
        for (name, writes) in content {
            for (dot, write) in writes {
                guard let event = events[name]?[dot] else { continue }
                var revival = Revival()
                if write.isPresent { revival.presence = Set(event.presenceReplacers) }
                for column in write.cells.keys {
                    revival.cells[column] = Set(event.cellReplacers[column] ?? [])
                }
                events[name]?[dot]?.revivals[origin] = revival
            }
        }
    }

    /// It has taken a copy after all.
    mutating func forgetRevivals(by origin: Origin) {
        for (name, row) in events {
            for (dot, event) in row where event.revivals[origin] != nil {
                events[name]?[dot]?.revivals[origin] = nil
            }
        }
    }

    /// The writes that are alive, and all that were seen by who wrote them.
    private func seen(in name: RowName, _ alive: [Dot: Write]) -> Set<Dot> {
        alive.keys.reduce(into: Set(alive.keys)) { $0.formUnion(events[name]?[$1]?.saw ?? []) }
    }

    /// Every write that a replica holds is one that was made, unaltered.
    mutating func checkWrites(_ content: Content) -> [String] {
        checks += 1
        var failures: [String] = []
        for (name, writes) in content {
            for (dot, write) in writes {
                guard let known = events[name]?[dot]?.write else {
                    failures.append("dot \(dot.number) of \(name) was never written")
                    continue
                }
                for (column, value) in write.cells where known.cells[column] != value {
                    failures.append(
                        "dot \(dot.number) of \(name) has \(value) in \(column), and "
                            + "\(String(describing: known.cells[column])) was written")
                }
                if known.stamp != write.stamp || known.birth != write.birth
                    || known.isDelete != write.isDelete
                {
                    failures.append("dot \(dot.number) of \(name) was altered")
                }
            }
        }
        return failures
    }

    mutating func noteCollected(_ name: RowName, _ writes: [Dot: Write]) {
        forgotten[name, default: []].formUnion(writes.keys)
    }

    /// A row may go when it is deleted, nobody contests that, and nobody has a change of it still to
    /// come whose writer had not seen all of it.
    func checkCollected(
        _ name: RowName, _ gone: [Dot: Write], vector: VersionVector, heldElsewhere: [Dot]
    ) -> [String] {
        var failures: [String] = []
        if gone.values.contains(where: { $0.isPresent && !$0.isDelete }) {
            failures.append("collected \(name), which an insert or update keeps")
        }
        for dot in heldElsewhere where !covers(vector, dot) {
            guard let event = events[name]?[dot], !event.saw.isSuperset(of: Self.spoken(gone).keys)
            else {
                continue
            }
            failures.append(
                "collected \(name), and a change of it that had not seen that is to come: "
                    + "\(dot.origin.high % 10_000):\(dot.number) \(event.write), which had not seen\n"
                    + Self.text(gone.filter { !event.saw.contains($0.key) }))
        }
        return failures
    }

    /// A whole replica holds just what lives under its vector, less what it has collected.
    func checkWhole(
        _ content: Content, of origin: Origin, vector: VersionVector, collected: Content
    ) -> [String] {
        var failures: [String] = []
        for name in Set(events.keys).union(content.keys).sorted() {
            let wanted = alive(name, under: vector)
            let held = Self.spoken(content[name])
            if held.isEmpty, wanted == Self.spoken(collected[name]) { continue }
            if held != wanted,
                !isBetween(
                    wanted.filter { forgotten[name]?.contains($0.key) != true }, held,
                    alive(name, under: vector, followed: origin))
            {
                failures.append(
                    "holds of \(name)\n\(Self.text(held))\n  and not\n\(Self.text(wanted))")
            }
        }
        return failures
    }

    /// Of what a leader brought back a replica may have seen replaced what its own programs replaced.
    private func isBetween(
        _ least: [Dot: Write], _ held: [Dot: Write], _ most: [Dot: Write]
    ) -> Bool {
        func isPart(_ some: [Dot: Write], of all: [Dot: Write]) -> Bool {
            some.allSatisfy { dot, write in
                guard let other = all[dot] else { return false }
                return (other.isPresent || !write.isPresent)
                    && write.cells.allSatisfy { other.cells[$0.key] == $0.value }
            }
        }
        return isPart(least, of: held) && isPart(held, of: most)
    }

    /// Less what holds only columns without values: that says nothing that could be lost.
    private static func spoken(_ writes: [Dot: Write]?) -> [Dot: Write] {
        (writes ?? [:]).filter { $0.value.isPresent || !$0.value.cells.isEmpty }
    }

    private static func text(_ writes: [Dot: Write]) -> String {
        writes.sorted { $0.key < $1.key }
            .map { "    \($0.key.origin.high % 10_000):\($0.key.number) \($0.value)" }
            .joined(separator: "\n")
    }

    /// What one has and the other has not, in words.
    static func difference(_ before: Content, _ after: Content) -> String {
        Set(before.keys).union(after.keys).sorted().filter { before[$0] != after[$0] }.map {
            "\($0)\n\(text(before[$0] ?? [:]))\n  becomes\n\(text(after[$0] ?? [:]))"
        }.joined(separator: "\n")
    }

    /// - Parameter origin: of the replica; revivals count that it follows, itself or by its vector. nil: none
    ///   counts.
    private func alive(
        _ name: RowName, under vector: VersionVector, followed origin: Origin? = nil
    ) -> [Dot: Write] {
        let row = (events[name] ?? [:]).filter { covers(vector, $0.key) }
        // A replacer counts when the vector covers it, or a write whose writer had seen it.
        let seen = row.values.reduce(into: Set(row.keys)) { $0.formUnion($1.saw) }
        var alive: [Dot: Write] = [:]
        for (dot, event) in row {
            var write = event.write
            let revivals = event.revivals.filter {
                origin != nil && ($0.key == origin || vector[$0.key] > 0)
            }.values
            func count(_ replacers: [Dot], but void: (Revival) -> Set<Dot>?) -> Bool {
                replacers.contains { dot in
                    seen.contains(dot) && !revivals.contains { void($0)?.contains(dot) ?? false }
                }
            }
            if count(event.presenceReplacers, but: \.presence) { write.isPresent = false }
            for (column, replacers) in event.cellReplacers
            where count(replacers, but: { $0.cells[column] }) {
                write.cells[column] = nil
            }
            if write.isPresent || !write.cells.isEmpty { alive[dot] = write }
        }
        return alive
    }

    /// What is alive of a row under a vector, in words.
    func text(_ name: RowName, under vector: VersionVector) -> String {
        Self.text(alive(name, under: vector)) + " of "
            + Self.text((events[name] ?? [:]).mapValues(\.write))
    }

    /// The rows of which, under a vector, only deletes are alive.
    func deleted(under vector: VersionVector) -> Content {
        events.keys.reduce(into: [:]) { rows, name in
            let alive = alive(name, under: vector)
            if !alive.isEmpty, !alive.values.contains(where: { $0.isPresent && !$0.isDelete }) {
                rows[name] = alive
            }
        }
    }

    private func covers(_ vector: VersionVector, _ dot: Dot) -> Bool {
        vector[dot.origin] >= dot.number
    }
}

// Ghost histories: every change ever made, with the exact set of changes that its writer had seen.
// No replica knows a history; it is what a replica's state is judged by.

package import CausalModel
package import Values

/// What a program, or a person who settles a conflict, does to one row.
package enum OracleOperation: UInt8, Hashable, Sendable, CaseIterable {
    /// INSERT where no row is visible.
    case insert
    /// INSERT where the visible row is parked: its writer saw nothing of it.
    case insertBeside
    case update
    case delete
    /// DELETE whose old values are not known.
    case erase

    package var isDelete: Bool { self == .delete || self == .erase }
    package var isInsert: Bool { self == .insert || self == .insertBeside }
}

/// A set of columns as bits. The bit after the last named column stands for every column beyond.
package typealias ColumnMask = UInt32

/// One change, as the oracle knows it.
package struct GhostEvent: Sendable {
    package var row: Int
    package var dot: Dot
    package var operation: OracleOperation
    package var stamp: Stamp
    package var birth: Birth
    package var columns: ColumnMask
    package var values: [ColumnValue]
    /// The events of the same row that the writer had seen.
    package var seen: EventSet

    /// What the event wrote into `column`; nil for the default.
    package func value(_ column: Int) -> Value? {
        for entry in values where entry.column == column { return entry.value }
        return nil
    }

    /// LWW order as the design declares it: (birth, stamp, origin), then the number.
    package func isBeaten(by other: GhostEvent) -> Bool {
        if birth.stamp != other.birth.stamp { return birth.stamp < other.birth.stamp }
        if birth.origin != other.birth.origin { return birth.origin < other.birth.origin }
        if stamp != other.stamp { return stamp < other.stamp }
        if dot.origin != other.dot.origin { return dot.origin < other.dot.origin }
        return dot.number < other.dot.number
    }
}

/// All changes of a run, in the order in which they happened.
package struct OracleHistory: Sendable {
    /// Named columns; one more bit stands for all others.
    package let columnCount: Int
    package private(set) var events: [GhostEvent] = []
    /// True once a write took the last stamp there is: then order is by causality alone.
    package private(set) var hasCeiling = false
    /// All events of rows that were collected, as far as the collector had merged them. Whatever
    /// comes later has seen them, so that their births and stamps no longer count.
    package internal(set) var closed = EventSet()
    /// Per origin the index of its n-th change.
    private var numbered: [Origin: [Int]] = [:]
    /// Merged sets whose reading was judged: what a kernel says is a function of its writes.
    private var judgedReadings: [EventSet] = []
    /// Per event all events of its origin up to it, itself included.
    private var prefixes: [EventSet] = []

    package init(columnCount: Int) { self.columnCount = columnCount }

    package var everyColumn: ColumnMask { (1 << ColumnMask(columnCount + 1)) - 1 }

    package mutating func append(_ event: GhostEvent) -> Int {
        let index = events.count
        events.append(event)
        if event.stamp >= .ceiling { hasCeiling = true }
        var prefix = numbered[event.dot.origin]?.last.map { prefixes[$0] } ?? EventSet()
        prefix.insert(index)
        prefixes.append(prefix)
        numbered[event.dot.origin, default: []].append(index)
        return index
    }

    /// The changes of `origin` after its `number`-th never happened: power was lost before they
    /// were durable, and nobody else has seen them.
    package mutating func forget(_ origin: Origin, after number: UInt64) {
        guard let held = numbered[origin], held.count > Int(number) else { return }
        numbered[origin] = Array(held[..<Int(number)])
    }

    /// True for the first time that `merged` is asked about.
    mutating func isReadingNew(_ merged: EventSet) -> Bool {
        for known in judgedReadings where known == merged { return false }
        judgedReadings.append(merged)
        return true
    }

    /// `merged` without closed events, unless that is all there is.
    package func open(_ merged: EventSet) -> EventSet {
        if closed.isEmpty { return merged }
        let open = merged.subtracting(closed)
        return open.isEmpty ? merged : open
    }

    /// The event that `dot` names now; nil when there is none.
    package func index(of dot: Dot) -> Int? {
        guard let held = numbered[dot.origin], dot.number >= 1, dot.number <= UInt64(held.count)
        else { return nil }
        return held[Int(dot.number) - 1]
    }

    /// Every event that `vector` covers, of all rows.
    package func covered(by vector: VersionVector) -> EventSet {
        var result = EventSet()
        for entry in vector.entries {
            guard let held = numbered[entry.origin], !held.isEmpty else { continue }
            let last = Int(Swift.min(entry.number, UInt64(held.count)))
            result.formUnion(prefixes[held[last - 1]])
        }
        return result
    }

    /// All events of `row` that happened for good.
    package func all(of row: Int) -> EventSet {
        var result = EventSet()
        for indexes in numbered.values {
            for index in indexes where events[index].row == row { result.insert(index) }
        }
        return result
    }
}

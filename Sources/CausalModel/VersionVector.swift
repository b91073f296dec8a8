// What a replica has seen of every origin, as contiguous prefixes.

/// Origin → highest number seen. A covered dot has been applied, with everything before it.
///
/// Parker et al. 1983. Kept as a sorted array: groups have a handful of origins, and equality,
/// join and order are linear walks.
package struct VersionVector: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package var origin: Origin
        package var number: UInt64

        @inlinable
        package init(origin: Origin, number: UInt64) {
            self.origin = origin
            self.number = number
        }
    }

    /// Sorted by origin, numbers above zero.
    package private(set) var entries: [Entry]

    package init() { entries = [] }

    package init(_ pairs: some Sequence<(Origin, UInt64)>) {
        entries = []
        for (origin, number) in pairs where number > self[origin] { self[origin] = number }
    }

    package var isEmpty: Bool { entries.isEmpty }

    private func position(of origin: Origin) -> (index: Int, found: Bool) {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].origin < origin { low = middle + 1 } else { high = middle }
        }
        return (low, low < entries.count && entries[low].origin == origin)
    }

    /// The highest number seen of `origin`; 0 for none.
    package subscript(origin: Origin) -> UInt64 {
        get {
            let place = position(of: origin)
            return place.found ? entries[place.index].number : 0
        }
        set {
            let place = position(of: origin)
            if place.found {
                if newValue == 0 {
                    entries.remove(at: place.index)
                } else {
                    entries[place.index].number = newValue
                }
            } else if newValue > 0 {
                entries.insert(Entry(origin: origin, number: newValue), at: place.index)
            }
        }
    }

    package func contains(_ dot: Dot) -> Bool { dot.number <= self[dot.origin] }

    /// True when every dot of `other` is covered: `other ≤ self`.
    package func covers(_ other: VersionVector) -> Bool {
        other.entries.allSatisfy { $0.number <= self[$0.origin] }
    }

    /// The least vector that covers both.
    package mutating func join(_ other: VersionVector) {
        for entry in other.entries where entry.number > self[entry.origin] {
            self[entry.origin] = entry.number
        }
    }

    package func joined(_ other: VersionVector) -> VersionVector {
        var result = self
        result.join(other)
        return result
    }

    /// The greatest vector that both cover. Complexity: O(entries × log entries).
    package mutating func meet(_ other: VersionVector) {
        for index in entries.indices {
            entries[index].number = min(entries[index].number, other[entries[index].origin])
        }
        entries.removeAll { $0.number == 0 }
    }

    /// How many dots of `self` lie beyond `other`.
    package func distance(beyond other: VersionVector) -> UInt64 {
        entries.reduce(0) { sum, entry in
            let seen = other[entry.origin]
            return entry.number > seen ? sum &+ (entry.number - seen) : sum
        }
    }
}

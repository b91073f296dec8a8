// Sets of ghost events, as bits. The first 64 members need no allocation: the simulators of small
// histories live inside that, and longer histories only get slower.

/// A set of event indexes.
package struct EventSet: Hashable, Sendable, Sequence {
    private var low: UInt64 = 0
    /// Words of members from 64 on; the last one is never zero.
    private var more: [UInt64] = []

    package init() {}

    package init(_ members: some Sequence<Int>) {
        for member in members { insert(member) }
    }

    /// All of `0..<count`.
    package init(below count: Int) {
        if count >= 64 {
            for member in 0..<count { insert(member) }
        } else {
            low = (1 << UInt64(count)) &- 1
        }
    }

    package static func == (left: EventSet, right: EventSet) -> Bool {
        left.low == right.low
            && (left.more.isEmpty && right.more.isEmpty || left.more == right.more)
    }

    package var isEmpty: Bool { low == 0 && more.isEmpty }

    package var count: Int {
        var count = low.nonzeroBitCount
        if more.isEmpty { return count }
        for word in more { count += word.nonzeroBitCount }
        return count
    }

    package func contains(_ member: Int) -> Bool {
        if member < 64 { return low >> UInt64(member) & 1 == 1 }
        let word = member / 64 - 1
        return word < more.count && more[word] >> UInt64(member % 64) & 1 == 1
    }

    package mutating func insert(_ member: Int) {
        if member < 64 {
            low |= 1 << UInt64(member)
            return
        }
        let word = member / 64 - 1
        while more.count <= word { more.append(0) }
        more[word] |= 1 << UInt64(member % 64)
    }

    package mutating func formUnion(_ other: EventSet) {
        low |= other.low
        if other.more.isEmpty { return }
        while more.count < other.more.count { more.append(0) }
        for word in other.more.indices { more[word] |= other.more[word] }
    }

    package mutating func formIntersection(_ other: EventSet) {
        low &= other.low
        if more.isEmpty { return }
        for word in more.indices { more[word] &= word < other.more.count ? other.more[word] : 0 }
        trim()
    }

    package mutating func subtract(_ other: EventSet) {
        low &= ~other.low
        if more.isEmpty || other.more.isEmpty { return }
        for word in 0..<Swift.min(more.count, other.more.count) { more[word] &= ~other.more[word] }
        trim()
    }

    package func subtracting(_ other: EventSet) -> EventSet {
        var result = self
        result.subtract(other)
        return result
    }

    package func isSubset(of other: EventSet) -> Bool { subtracting(other).isEmpty }

    private mutating func trim() {
        while more.last == 0 { more.removeLast() }
    }

    // MARK: Walking

    package struct Iterator: IteratorProtocol {
        private var word: UInt64
        private var base = 0
        private var rest: [UInt64]

        fileprivate init(_ set: EventSet) {
            word = set.low
            rest = set.more
        }

        package mutating func next() -> Int? {
            while word == 0 {
                if base / 64 == rest.count { return nil }
                word = rest[base / 64]
                base += 64
            }
            let place = word.trailingZeroBitCount
            word &= word &- 1
            return base + place
        }
    }

    /// Members in ascending order.
    package func makeIterator() -> Iterator { Iterator(self) }
}

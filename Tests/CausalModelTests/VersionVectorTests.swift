// Version vectors form a lattice: a partial order with least upper bounds.

import CausalModel
import TestKit
import Testing

@Suite struct VersionVectorTests {
    static let origins = (0..<3).map { Origin(high: UInt64($0 % 2), low: UInt64($0)) }

    /// All vectors over three origins with numbers 0…2.
    static let all: [VersionVector] = (0..<27).map { index in
        var vector = VersionVector()
        vector[origins[0]] = UInt64(index % 3)
        vector[origins[1]] = UInt64(index / 3 % 3)
        vector[origins[2]] = UInt64(index / 9)
        return vector
    }

    @Test func coversIsAPartialOrder() throws {
        let laws = OrderLaws<VersionVector> { $1.covers($0) }

        try laws.check(Self.all)
        try laws.checkLeastUpperBound(Self.all) { $0.joined($1) }
    }

    @Test func joinIsASemilattice() throws {
        try JoinLaws<VersionVector> { $0.joined($1) }.check(Self.all)
    }

    @Test func meetIsASemilatticeOfGreatestLowerBounds() throws {
        func meet(_ left: VersionVector, _ right: VersionVector) -> VersionVector {
            var result = left
            result.meet(right)
            return result
        }
        try JoinLaws<VersionVector>(meet).check(Self.all)
        try OrderLaws<VersionVector> { $0.covers($1) }.checkLeastUpperBound(Self.all, meet)
        for vector in Self.all { #expect(meet(vector, VersionVector()).isEmpty) }
    }

    @Test func aCoveredVectorAddsNothing() {
        for left in Self.all {
            for right in Self.all {
                #expect(left.covers(right) == (left.joined(right) == left))
                #expect((right.distance(beyond: left) == 0) == left.covers(right))
            }
        }
    }

    @Test func containsThePrefixesOfItsEntries() {
        for vector in Self.all {
            for origin in Self.origins {
                for number in 1...4 as ClosedRange<UInt64> {
                    #expect(vector.contains(Dot(origin, number)) == (number <= vector[origin]))
                }
            }
        }
    }

    @Test func entriesAreSortedAndNeverZero() {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            var vector = VersionVector()
            var model: [Origin: UInt64] = [:]
            for _ in 0..<20 {
                let origin = Origin(high: generator.next() % 3, low: generator.next() % 3)
                let number = generator.next() % 4
                vector[origin] = number
                model[origin] = number == 0 ? nil : number
            }
            let entries = vector.entries

            #expect(entries.map(\.origin) == model.keys.sorted())
            #expect(entries.allSatisfy { $0.number > 0 && model[$0.origin] == $0.number })
        }
    }

    @Test func buildingTakesTheGreatestOfRepeatedEntries() {
        let origin = Self.origins[1]

        let numbers: [UInt64] = [3, 7, 5]

        #expect(VersionVector(numbers.map { (origin, $0) })[origin] == 7)
        #expect(VersionVector([(origin, UInt64(0))]).isEmpty)
    }

    @Test func theGreatestNumbersDoNotOverflow() {
        let great = VersionVector(Self.origins.map { ($0, UInt64.max) })

        #expect(great.contains(Dot(Self.origins[0], .max)))
        #expect(great.joined(great) == great)
        // The sum wraps; it is an amount to show, and no such group exists.
        #expect(great.distance(beyond: great) == 0)
        _ = great.distance(beyond: VersionVector())
    }
}

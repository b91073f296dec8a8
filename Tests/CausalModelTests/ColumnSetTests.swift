// The algebra of column sets against sets of numbers in a small universe, in which the last number
// stands for every column that nobody lists.

import CausalModel
import TestKit
import Testing

@Suite struct ColumnSetTests {
    static let listable = 5

    /// Every set over the universe, as a column set and as the members it must have.
    static let all: [(set: ColumnSet, members: Set<Int>)] = (0..<64).map { bits in
        let members = Set((0...listable).filter { bits >> $0 & 1 == 1 })
        let isAll = members.contains(listable)
        let listed = (0..<listable).filter { members.contains($0) != isAll }
        return (ColumnSet(isAll: isAll, listed: listed.map(ColumnID.init)), members)
    }

    private func members(_ set: ColumnSet) -> Set<Int> {
        Set((0...Self.listable).filter { set.contains(ColumnID($0)) })
    }

    @Test func containsWhatItShould() {
        for (set, expected) in Self.all {
            #expect(members(set) == expected)
            #expect(set.isEmpty == expected.isEmpty)
        }
    }

    @Test func subtractAndIntersect() {
        for (left, leftMembers) in Self.all {
            for (right, rightMembers) in Self.all {
                var difference = left
                difference.subtract(right)
                let both = left.intersection(right)

                #expect(members(difference) == leftMembers.subtracting(rightMembers))
                #expect(members(both) == leftMembers.intersection(rightMembers))
                // One form for one set, or kernels that are equal would not compare so.
                #expect(Self.all.contains { $0.set == difference })
                #expect(Self.all.contains { $0.set == both })
            }
        }
    }

    @Test func intersectionIsASemilattice() throws {
        try JoinLaws<ColumnSet> { $0.intersection($1) }.check(Self.all.map(\.set))
    }

    @Test func theOrderOfReplacementsDoesNotMatter() {
        for (first, _) in Self.all {
            for (second, _) in Self.all {
                for start in [ColumnSet.all, ColumnSet([1, 2, 4])] {
                    var one = start
                    one.subtract(first)
                    one.subtract(second)
                    var other = start
                    other.subtract(second)
                    other.subtract(first)
                    #expect(one == other)
                }
            }
        }
    }

    @Test func buildingSortsAndDropsRepetition() {
        #expect(ColumnSet([3, 1, 3, 2]).listed == [1, 2, 3])
        #expect(ColumnSet([] as [ColumnID]) == .none)
    }
}

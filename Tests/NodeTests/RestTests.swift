// When a node gives memory back: once nothing happens, and once only.

import Testing

@testable import Node

@Suite struct RestTests {
    /// What ``Rest`` says at each of some looks.
    private func dues(_ steps: [(looks: Int, isMoving: Bool)]) -> [Bool] {
        var rest = Rest()
        return steps.map { rest.isDue(looks: $0.looks, isMoving: $0.isMoving) }
    }

    @Test func aQuietNodeRestsOnce() {
        let quiet = dues([(1, false), (1, false), (1, false)])
        #expect(quiet == [false, true, false])
        let changed = dues([(1, false), (1, false), (2, false), (2, false), (2, false)])
        #expect(changed == [false, true, false, true, false])
    }

    @Test func whoSendsDoesNotRest() {
        let sends = dues([(1, true), (1, true), (1, false), (1, true), (1, false)])
        #expect(sends == [false, false, true, false, true])
    }
}

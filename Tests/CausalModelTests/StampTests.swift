// Stamps, dots, births and origins: total orders, carries and limits.

import CausalModel
import TestKit
import Testing

@Suite struct StampTests {
    static let lastMillisecond = (Int64(1) << 47) - 1

    @Test func counterOverflowCarriesIntoMilliseconds() {
        let full = Stamp(milliseconds: 7, counter: .max)

        #expect(full.next == Stamp(milliseconds: 8, counter: 0))
        #expect(full < full.next)
    }

    @Test func millisecondsAreClamped() {
        #expect(Stamp(milliseconds: -1) == .zero)
        #expect(Stamp(milliseconds: .min, counter: 9) == Stamp(milliseconds: 0, counter: 9))
        #expect(Stamp(milliseconds: .max, counter: .max) == .ceiling)
        #expect(Stamp(milliseconds: .max).milliseconds == Self.lastMillisecond)
        #expect(Stamp.ceiling.milliseconds == Self.lastMillisecond)
    }

    @Test func nothingLiesAboveTheCeiling() {
        #expect(Stamp.ceiling.next == .ceiling)
        #expect(Stamp(raw: Stamp.ceiling.raw - 1).next == .ceiling)
        #expect(Stamp(raw: .max).next == .ceiling)
        #expect(Stamp(raw: .max).milliseconds > 0)
    }

    @Test func partsComeBack() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<1_000 {
            let milliseconds = Int64(generator.next() >> 17)
            let counter = UInt16(truncatingIfNeeded: generator.next())
            let stamp = Stamp(milliseconds: milliseconds, counter: counter)
            #expect(stamp.milliseconds == milliseconds)
            #expect(stamp.counter == counter)
            #expect(stamp == .ceiling || stamp < stamp.next)
        }
    }

    @Test func ordersAreTotal() throws {
        let stamps = [0, 1, 0xffff, 0x1_0000, 0x1_0001, Stamp.ceiling.raw].map(Stamp.init(raw:))
        let origins = [(0, 0), (0, 9), (1, 0), (UInt64.max, 3)].map { Origin(high: $0, low: $1) }
        try OrderLaws<Stamp> { $0 <= $1 }.check(stamps)
        try OrderLaws<Origin> { $0 <= $1 }.checkTotal(origins)

        let births = stamps.flatMap { stamp in origins.map { Birth(stamp, $0) } }
        try OrderLaws<Birth> { $0 <= $1 }.check(births)
        try OrderLaws<Birth> { $0 <= $1 }.checkTotal(births)

        let dots = origins.flatMap { origin in [1, 2, UInt64.max].map { Dot(origin, $0) } }
        try OrderLaws<Dot> { $0 <= $1 }.check(dots)
        try OrderLaws<Dot> { $0 <= $1 }.checkTotal(dots)
    }

    /// What beats what is a total order over (birth, stamp, origin, number), births first.
    @Test func beatingIsATotalOrder() throws {
        let origins = [Origin(high: 0, low: 5), Origin(high: 0, low: 2)]
        var writes: [Write] = []
        for birth in [1, 2] as [UInt64] {
            for stamp in [2, 3] as [UInt64] {
                for origin in origins {
                    for number in [1, 2] as [UInt64] {
                        writes.append(
                            Write(
                                dot: Dot(origin, number), stamp: Stamp(raw: stamp),
                                birth: Birth(Stamp(raw: birth), origins[0]), columns: .all))
                    }
                }
            }
        }
        let laws = OrderLaws<Write> { !$1.isBeaten(by: $0) }

        try laws.check(writes)
        try laws.checkTotal(writes)
        #expect(writes.allSatisfy { !$0.isBeaten(by: $0) })
    }

    @Test func originsCrossBytesAndDigits() throws {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            let origin = Origin.random(using: &generator)
            let other = Origin.random(using: &generator)
            #expect(Origin(bytes: origin.bytes) == origin)
            #expect(Origin(hex: origin.hex) == origin)
            #expect(Origin(hex: origin.hex.uppercased()) == origin)
            #expect((origin < other) == origin.bytes.lexicographicallyPrecedes(other.bytes))
            #expect((origin < other) == (origin.hex < other.hex))
        }
        #expect(Origin(high: 0, low: 0).hex.count == 32)
    }

    @Test(arguments: [
        "", "0", String(repeating: "0", count: 31), String(repeating: "0", count: 33),
        String(repeating: "g", count: 32), "+" + String(repeating: "0", count: 31),
        "-" + String(repeating: "0", count: 31),
        String(repeating: "0", count: 16) + "-" + String(repeating: "0", count: 15),
        " " + String(repeating: "0", count: 31), String(repeating: "0", count: 30) + "é",
    ])
    func otherTextsAreNoOrigin(_ text: String) {
        #expect(Origin(hex: text) == nil)
    }

    @Test(arguments: [0, 15, 17, 32]) func otherLengthsAreNoOrigin(_ count: Int) {
        #expect(Origin(bytes: [UInt8](repeating: 1, count: count)) == nil)
    }
}

// The write queue: bytes leave in the order in which they came, whatever the pieces.

import TestKit
import Testing

@testable import Transport

struct ByteQueueTests {
    @Test("random appends and consumes give the bytes back", arguments: 0..<10 as Range<UInt64>)
    func random(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let queue = ByteQueue()
        var came = 0
        var went = 0
        for _ in 0..<200 {
            let bytes = pattern(random.below(random.chance(1, in: 4) ? 150_000 : 900), from: came)
            bytes.withUnsafeBytes { queue.append($0) }
            came += bytes.count
            if random.chance(1, in: 2) {
                var front: [UInt8] = []
                queue.forEachPiece(max: 1 + random.below(4)) { start, count in
                    front += UnsafeRawBufferPointer(start: start, count: count)
                }
                #expect(front == pattern(front.count, from: went), "seed \(seed)")
                let part = random.chance(1, in: 2) ? front.count : random.below(front.count + 1)
                queue.consume(part)
                went += part
            }
            #expect(queue.count == came - went, "seed \(seed)")
        }
        queue.consume(queue.count)
        #expect(queue.isEmpty)
        var pieces = 0
        queue.forEachPiece(max: 4) { _, _ in pieces += 1 }
        #expect(pieces == 0)
    }
}

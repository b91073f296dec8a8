// Relations between the limits of the transport.

import Testing

@testable import Transport

struct LimitsTests {
    @Test("a stranger may send less than a peer")
    func strangers() {
        typealias Limits = TransportLimits
        #expect(Limits.frameBytesMaxBeforeHello <= Limits.frameBytesMax)
        #expect(Limits.messageBytesMaxBeforeHello <= Limits.messageBytesMax)
        #expect(Limits.frameBytesMaxBeforeHello <= Limits.messageBytesMaxBeforeHello)
        #expect(Limits.frameBytesMax <= Limits.messageBytesMax)
    }

    @Test("a header can state every permitted frame")
    func headers() {
        #expect(TransportLimits.frameBytesMax <= TransportLimits.frameLengthBytesMax)
        #expect(TransportLimits.frameLengthBytesMax == 0x7fff_ffff)
        #expect(TransportLimits.frameHeaderBytes == MemoryLayout<UInt32>.size)
    }

    @Test("the largest message fits the write queue above the high water mark")
    func queue() {
        typealias Limits = TransportLimits
        #expect(Limits.lowWaterBytes < Limits.highWaterBytes)
        let encoder = FrameEncoder(frameBytesMax: Limits.frameBytesMax)
        let largest = encoder.encodedBytes(of: Limits.messageBytesMax)
        #expect(Limits.highWaterBytes + largest <= Limits.writeQueueBytesMax)
        // One call to the kernel must not jump over the low water mark.
        #expect(Limits.writeChunkBytes * Limits.writeChunksPerCall <= Limits.lowWaterBytes)
        #expect(Limits.readBufferBytes >= Limits.frameBytesMaxBeforeHello + Limits.frameHeaderBytes)
    }
}

// What stands behind the engine of a process that has ended: nothing.

package import CausalModel
package import Codec
package import Store

/// A replica of a process that is gone: whoever still asks it gets an error.
package final class NoReplica: SyncReplica {
    package struct Gone: Error {}

    package init() {}
    package func summary() throws -> ReplicaSummary { throw Gone() }
    package func summary(whileReceiving: Bool) throws -> ReplicaSummary { throw Gone() }
    package func openDelta(base: VersionVector, resume: ResumePoint?) throws -> (any DeltaSource)? {
        throw Gone()
    }
    package func resumePoint(from source: Origin) throws -> ResumePoint? { throw Gone() }
    package func apply(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        throw Gone()
    }
    package func finish(_ header: DeltaHeader) throws -> ApplyOutcome { throw Gone() }
    package func applyWhole(_ chunk: DeltaChunk, of header: DeltaHeader) throws -> ApplyOutcome {
        throw Gone()
    }
    package func schemaDescription() throws -> CBOR { throw Gone() }
    package func adoptSchema(_ description: CBOR) throws -> Bool { throw Gone() }
    package func noteStatement(
        of peer: String, name: String, origin: Origin, vector: VersionVector
    ) throws {
        throw Gone()
    }
    package func peerStatements() throws -> [PeerStatement] { throw Gone() }
    package func noteReport(
        of node: String, name: String, origin: Origin, vector: VersionVector?,
        ageMilliseconds: Int64
    ) throws -> Bool { throw Gone() }
    package var hasDeletedRows: Bool { get throws { throw Gone() } }
    package func takeNewOrigin(because reason: String) throws { throw Gone() }
    package func reissueLost(except live: Set<Origin>, unknown: [Origin]) throws -> Int {
        throw Gone()
    }
    package func unknownOrigins() throws -> [Origin] { throw Gone() }
    package let removedOrigins: [Origin] = []
    package let endedOrigins: [Origin] = []
    package func holds(_ dot: Dot) -> Bool { false }
    package let isSettling = false
    package let hasCopyBegun = false
    package let continuedOrigins: [Origin] = []
    package let joiningVector: VersionVector? = nil
    package func beginJoining(because reason: String, isBehind: Bool) throws { throw Gone() }
    package func settleJoining() throws { throw Gone() }
    package func endJoiningAlone() throws { throw Gone() }
    package func hasGoneBack(
        _ peer: String, origin: Origin, vector: VersionVector
    ) throws -> Bool { throw Gone() }
    package func collect(_ group: StabilityGroup) throws -> CollectOutcome {
        throw Gone()
    }
}

/// An error of a test's replica that may go away by itself.
package protocol RetryableError: Error {
    var isRetryable: Bool { get }
}

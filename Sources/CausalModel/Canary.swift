// Wrong designs that a debug build can switch on, one at a time: a checker that does not catch them
// all proves nothing. A release build has none of them.

/// A rule that the simulator breaks on purpose; its name is what `starling-sim --canary` takes.
///
/// Each was shipped by somebody, was caught by a model of this design, or was a defect of this
/// project. Those about who comes and goes stand in the tests' model of the design.
@usableFromInline package enum Canary: String, CaseIterable, Sendable {
    // The vector.
    case vectorMovedAtStart, vectorMovedWithEachChunk, endAnnouncesHalfReceived
    // The join.
    case receiverVectorNotCounted, senderVectorNotCounted, snapshotVectorForgotten
    case currentVectorAsContext, joinKeepsEverything, contextsOnly
    // The delta.
    case halfReceivedNotOffered, presenceForgotten, valuesLeftOutByContext, deltaBelowBaseTaken
    case resumeWithoutLookingAgain, positionKeptBySender
    // Local writes.
    case stampNotAboveRow, reinsertLeavesDefaults, foldAfterApply
    // Durability and identity.
    case sentBeforeDurable, statedBeforeDurable, restoreUnnoticed
    // Constraints and digests.
    case firstComeKeepsUnique, digestsComparedHalfReceived
    // Collection.
    case collectedWithoutWholeVector, collectedWhenAcknowledged, hiddenRowsCollected
    case digestCountsDeleted
    // Members who come and go.
    case absentNotCounted, oldStatementsCounted, copyWithoutJoining, unmentionedKept
    case forgottenDeleteMet, collectedComesBack, heardIssuedAgain, copyWithoutFloor
    case copyOfRemovedCounts, unseenDecides, copyOfAnyTaken, unlistedKept, believedBornAnew
    case listedReaderOutranked, earlierCopyForgotten, unheardKept, copyGoesOnPastFloor
    case contextsForgotten, removedForgotten, readerServes, unknownToCopyHeard
    case believedGoneUnsaid, evictedByCopyHeard, unknownKept, believedLeftBehind, rejoinsAtOnce
    // The relay.
    case gapInLogTaken, mixedRowsLeftOut, hiddenNewsLeftOut
    case laterFloorUnsaid, floorNotChecked
    // Defects that the simulator found.
    case rebuildTrustsJournal, fleetingValuesTaken, foldBeforeMarker, lostOriginKept
    case orphansInHashOrder, numbersNotedLate, unreadRowsSent, victimsAloneMissed
}

#if DEBUG || STARLING_CANARIES
/// Set once, before the first replica is opened, by the simulator alone.
package nonisolated(unsafe) var canary: Canary?

/// Whether the rule is broken on purpose.
package func isBroken(_ rule: Canary) -> Bool { canary == rule }
#else
/// Whether the rule is broken on purpose: never in a release build.
@inlinable @inline(__always)
package func isBroken(_ rule: Canary) -> Bool { false }
#endif

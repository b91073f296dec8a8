// Wrong designs, each one that somebody has shipped or that a model caught. A test switches one on
// in the model and demands that the oracle catches it: a checker that finds nothing proves nothing.

/// A rule of the design that the model breaks on purpose.
package enum OracleVariant: String, Sendable, CaseIterable {
    /// A delta holds the rows with a live cell beyond the base; presence is forgotten.
    case deltaByCellDotsOnly
    /// Contexts are trimmed, but the receiver's vector is not counted in the join.
    case receiverVectorNotCounted
    /// Contexts are trimmed, but the sender's vector is not counted in the join.
    case senderVectorNotCounted
    /// Rows carry whole contexts, and vectors count for nothing, not even for collected rows.
    case contextsOnly
    /// The receiver does not remember the snapshot vector of rows half received.
    case snapshotVectorForgotten
    /// What the sender has seen by now is taken for what its snapshot had seen.
    case currentVectorAsContext
    /// A delta leaves out rows with live dots beyond the sender's own vector only.
    case halfReceivedNotOffered
    /// END announces what the sender has half received, too.
    case endAnnouncesHalfReceived
    /// Values are left out for dots that the sender's context of the row covers.
    case valuesLeftOutByContext
    /// A receiver below the base of a delta takes it.
    case deltaBelowBaseTaken
    /// A resumed transfer does not look again at rows already sent.
    case resumeWithoutLookingAgain
    /// The vector moves when a transfer starts.
    case vectorMovedAtStart
    /// The vector moves with each chunk.
    case vectorMovedWithEachChunk
    /// A local write takes the clock's stamp, whatever stamps its row has.
    case stampNotAboveRow
    /// A re-insert stamps only the columns that it names, not those left at their default.
    case reinsertLeavesDefaults
    /// A join keeps what either side has: "present on one side, so keep".
    case joinKeepsEverything
    /// The sender remembers how far a transfer came, although the receiver may lose power.
    case positionKeptBySender
    /// Changes are sent before they are durable.
    case sentBeforeDurable
    /// Rows are collected without asking that every statement lies under the own vector.
    case collectedWithoutWholeVector
    /// Rows hidden by delete-wins are collected although an insert or update is alive in them.
    case hiddenRowsCollected
    /// The sponsor commits the JOIN when the copy has ended.
    case joinAfterCopy
    /// A newcomer numbers changes before its vector covers its JOIN.
    case newcomerWritesBeforeEnd
    /// Who rejoins joins the copy to the rows that it had.
    case copyJoinedOverOldRows
    /// A peer that has not seen what was collected is served, not sent to rejoin.
    case floorNotChecked
}

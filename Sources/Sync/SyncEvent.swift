// What happened, for the host: to log it, to publish changes, to wake who waits.

package import CausalModel

/// Something the host may want to know; never needed for the sync itself.
package enum SyncEvent: Sendable, Equatable {
    case connected(node: String, name: String)
    case disconnected(node: String, reason: String)
    case refused(node: String?, address: String?, reason: String)
    /// Rows of a peer are in the store; `hasChanged` when something that can be seen moved.
    case applied(node: String, rows: Int, hasChanged: Bool)
    /// Equal vectors, different content: a defect, to be repaired and reported.
    case divergence(node: String)
    case agreement(node: String)
    case newOrigin(reason: String)
    /// This replica waits for a copy under a new origin.
    case joining(reason: String)
    /// A node, or this one, takes part.
    case joined(node: String)
    /// A peer numbers under this origin, as it says itself.
    case author(node: String, origin: Origin)
    /// Rows that only an origin of this replica's past could have completed have a new dot.
    case reissued(rows: Int)
    /// Deleted rows that all members had seen deleted are gone for good.
    case collected(rows: Int)
    /// The store failed for good; it is tried again, and nothing is lost.
    case storeTrouble(String)
}

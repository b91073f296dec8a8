// Who belongs to the group, as far as this replica knows: the door through which the host says so.

package import CausalModel

/// The members of the group as this replica knows them.
package struct Membership: Sendable, Equatable {
    package enum Role: String, Sendable {
        /// Its changes are everybody's.
        case writer
        /// It is sent everything; nothing is taken from it.
        case reader
    }

    /// By node; this node's own, once it is known to be a member.
    package var roles: [String: Role]
    /// The dots by which members were removed, or made readers; any more changes of the list do no
    /// harm.
    package var removals: VersionVector

    package init(roles: [String: Role], removals: VersionVector = VersionVector()) {
        self.roles = roles
        self.removals = removals
    }
}

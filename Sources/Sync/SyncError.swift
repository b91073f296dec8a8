// The one error of the session layer: why a connection must end.

package import Wire

/// A peer that cannot be talked to, with the reason that it is told.
package struct SyncError: Error, Equatable, CustomStringConvertible {
    package var code: GoodbyeMessage.Code
    /// What went wrong and what to do; safe to log and to send.
    package var message: String

    package init(_ code: GoodbyeMessage.Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ error: WireError) {
        code = error.code == .tooLarge ? .tooLarge : .malformed
        message = "the peer sent what is no message of this protocol: \(error.message)"
    }

    package static func == (left: SyncError, right: SyncError) -> Bool { left.code == right.code }

    package var description: String { message }
}

extension GoodbyeMessage.Code {
    /// What a person can do about it; nil when nothing needs to be done.
    var remedy: String? {
        switch self {
        case .wrongGroup:
            "the two nodes belong to different groups: make a new home on one of them with 'starling join'"
        case .versionTooOld: "update starling on this machine"
        case .versionTooNew: "update starling on the peer's machine"
        case .clonedIdentity:
            "two nodes run with one identity, as after copying a home folder: run 'starling init' "
                + "with a new home on one of them"
        case .malformed, .tooLarge, .flood:
            "the peer is damaged, of another version or no starling node: check what runs there"
        case .unknownKey:
            "if it has just let this node in, that ends by itself; otherwise this node was removed, and "
                + "comes back by a new invitation and a new home folder"
        case .notMember: "to let it in again, run 'starling invite' here and 'starling join' there"
        case .outOfDate:
            "the node that is out of date cannot go on with its file: stop it, look there for what was "
                + "never synced, move its file and its home folder away, and set it up again with "
                + "an empty file"
        case .storeFailed: "see 'starling doctor' on the machine that reports it"
        default: nil
        }
    }
}

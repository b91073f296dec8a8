// Why the relay refuses: the words of the header `Starling-Reason`, each with its one status.

/// A stable word for programs; the text beside it is for people.
package struct Reason: RawRepresentable, Hashable, Sendable {
    package let rawValue: String

    package init(rawValue: String) { self.rawValue = rawValue }

    /// 400: the request is not of this protocol; sending it again changes nothing.
    package static let badRequest = Reason(rawValue: "bad-request")
    /// 401: no such group, or another credential.
    package static let unauthorized = Reason(rawValue: "unauthorized")
    /// 403: enrolling needs a token of the relay's operator, and this is none (any more).
    package static let tokenNeeded = Reason(rawValue: "token-needed")
    /// 403: a group of this name is enrolled with another credential.
    package static let taken = Reason(rawValue: "taken")
    /// 404: there is nothing at this path.
    package static let notFound = Reason(rawValue: "not-found")
    /// 404: the group has no snapshot, or none before the newest.
    package static let noSnapshot = Reason(rawValue: "no-snapshot")
    /// 405: the path takes other methods.
    package static let badMethod = Reason(rawValue: "bad-method")
    /// 409: a key was used before, with other bytes.
    package static let keyConflict = Reason(rawValue: "key-conflict")
    /// 409: the position is of another log: the group was enrolled anew.
    package static let otherLog = Reason(rawValue: "other-log")
    /// 409: the relay lost the end of its log (a restored backup): the position is beyond it, or the
    /// log went on differently.
    package static let rolledBack = Reason(rawValue: "rolled-back")
    /// 409: a newer snapshot covers more than this one.
    package static let olderSnapshot = Reason(rawValue: "older-snapshot")
    /// 410: entries behind the position are gone: start from the snapshot.
    package static let snapshotNeeded = Reason(rawValue: "snapshot-needed")
    /// 411: a snapshot states its length.
    package static let lengthNeeded = Reason(rawValue: "length-needed")
    /// 413: more bytes than the relay takes at once.
    package static let tooLarge = Reason(rawValue: "too-large")
    /// 429: too many requests of this group.
    package static let rate = Reason(rawValue: "rate")
    /// 429: too many refused requests from this address.
    package static let tooManyFailures = Reason(rawValue: "too-many-failures")
    /// 500: a defect or a broken disk at the relay.
    package static let failed = Reason(rawValue: "failed")
    /// 503: the relay cannot serve now: its store is away, or it is busy.
    package static let unavailable = Reason(rawValue: "unavailable")
    /// 507: the group has used up what the operator grants it.
    package static let quota = Reason(rawValue: "quota")
    /// 507: the relay's disk is full.
    package static let storeFull = Reason(rawValue: "store-full")

    /// The status of HTTP that goes with the word.
    package var status: Int {
        switch self {
        case .badRequest: 400
        case .unauthorized: 401
        case .tokenNeeded, .taken: 403
        case .notFound, .noSnapshot: 404
        case .badMethod: 405
        case .keyConflict, .otherLog, .rolledBack, .olderSnapshot: 409
        case .snapshotNeeded: 410
        case .lengthNeeded: 411
        case .tooLarge: 413
        case .rate, .tooManyFailures: 429
        case .unavailable: 503
        case .quota, .storeFull: 507
        default: 500
        }
    }
}

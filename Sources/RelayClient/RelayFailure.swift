// Why a request to a relay failed, by what there is to do about it.

package import RelayProtocol

/// A request that did not succeed. `text` is safe to show and to log: it holds no credential, token or
/// content.
package struct RelayFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// What to do; the words also stand in a status.
    package enum Kind: String, Sendable, CaseIterable {
        /// Nothing came, or nothing that a relay says: back off.
        case noAnswer
        /// 503: back off, as long as the relay asks for at least.
        case unavailable
        /// 500: back off for longer; the operator has to look.
        case broken
        /// 400, 401, 403, 404 and the like: stop and show, until a person acts.
        case refused
        /// 409, 410: resolve it, then go on at once.
        case resolve
        /// 429: wait as long as the relay says.
        case later
        /// 413, 507: stop and show; tried again after the circuit's time, or when a person acts.
        case full
        /// The caller cancelled it, or the client was closed: no failure of the relay.
        case cancelled
    }

    package var kind: Kind
    package var text: String
    /// The relay's word, when one was given that is a word.
    package var reason: Reason?
    package var status: Int?
    /// What the relay asks to wait, in milliseconds; at most
    /// ``RelayClientLimits/retryAfterMillisecondsMax``.
    package var retryAfterMilliseconds: Int64?
    /// With `key-conflict`, the number of the entry, from 0.
    package var entry: Int?

    package init(
        _ kind: Kind, _ text: String, reason: Reason? = nil, status: Int? = nil,
        retryAfterMilliseconds: Int64? = nil, entry: Int? = nil
    ) {
        self.kind = kind
        self.text = String(text.prefix(RelayClientLimits.errorTextBytesMax))
        self.reason = reason
        self.status = status
        self.retryAfterMilliseconds = retryAfterMilliseconds
        self.entry = entry
    }

    package var description: String { text }
}

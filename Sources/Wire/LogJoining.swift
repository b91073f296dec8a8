// How a member that waits for a copy gets one through a relay's log: it asks, who can serve it offers, it
// takes one offer, and whoever made that lets it in and appends the copy.

package import CausalModel
internal import Codec

/// One word of that, always about the member that numbers under one origin.
///
/// An offer is for the one who asked, and good once: its nonce is random and known to nobody before. So a
/// relay that says old words again lets nobody in under an origin that is over.
package struct LogJoining: Sendable, Equatable {
    package enum Step: Sendable, Equatable {
        /// The author waits for a copy.
        case ask
        /// The author would serve whoever asked.
        case offer(nonce: [UInt8])
        /// The author waits, and takes that offer.
        case accept(nonce: [UInt8])
        /// To whoever numbers under that origin: it has to take a copy, as the author sees it.
        case outdated
    }

    package static let nonceBytes = 16

    /// Under which the member that waits will number its changes.
    package var origin: Origin
    package var step: Step

    package init(origin: Origin, step: Step) {
        self.origin = origin
        self.step = step
    }

    var item: CBOR {
        var fields = Fields()
        fields["o"] = .bytes(origin.bytes)
        switch step {
        case .ask: break
        case .offer(let nonce): fields["n"] = .bytes(nonce)
        case .accept(let nonce):
            fields["n"] = .bytes(nonce)
            fields["a"] = .bool(true)
        case .outdated: fields["l"] = .bool(true)
        }
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        origin = try fields.origin("o")
        let isAccepted = fields["a"] == nil ? false : try fields.flag("a")
        guard fields["n"] != nil else {
            guard !isAccepted else { throw WireError(.malformed, "an offer without a nonce") }
            let isLate = fields["l"] == nil ? false : try fields.flag("l")
            step = isLate ? .outdated : .ask
            return
        }
        let nonce = try fields.bytes("n")
        guard nonce.count == Self.nonceBytes else {
            throw WireError(.malformed, "the nonce of an offer has another length")
        }
        step = isAccepted ? .accept(nonce: nonce) : .offer(nonce: nonce)
    }
}

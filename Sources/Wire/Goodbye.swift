// Why a connection ends, in a form that both programs and people understand.

internal import Codec

/// The last message of a connection.
package struct GoodbyeMessage: Sendable, Equatable {
    /// A reason; a peer of a later version may send ones that are not named here.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: UInt64
        package init(rawValue: UInt64) { self.rawValue = rawValue }

        package static let shuttingDown = Code(rawValue: 0)
        package static let malformed = Code(rawValue: 1)
        package static let tooLarge = Code(rawValue: 2)
        package static let wrongGroup = Code(rawValue: 3)
        /// The receiver of this speaks too old a version.
        package static let versionTooOld = Code(rawValue: 4)
        /// The receiver of this speaks too new a version.
        package static let versionTooNew = Code(rawValue: 5)
        package static let clonedIdentity = Code(rawValue: 6)
        package static let selfConnection = Code(rawValue: 7)
        package static let duplicate = Code(rawValue: 8)
        package static let originClash = Code(rawValue: 9)
        package static let storeFailed = Code(rawValue: 10)
        package static let timeout = Code(rawValue: 11)
        package static let flood = Code(rawValue: 12)
        /// The peer is no member any more; it is told nothing.
        package static let notMember = Code(rawValue: 13)
        /// The peer refused this node's key in TLS; it sends no goodbye.
        package static let unknownKey = Code(rawValue: 14)
        /// One of the two has collected what the other has not seen deleted.
        package static let outOfDate = Code(rawValue: 15)

        /// Trying again soon cannot help: a person must act.
        package var isRefusal: Bool {
            switch self {
            case .malformed, .tooLarge, .wrongGroup, .versionTooOld, .versionTooNew,
                .clonedIdentity, .flood, .notMember, .outOfDate:
                true
            default: false
            }
        }
    }

    package var code: Code
    package var text: String

    package init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    var item: CBOR {
        var fields = Fields()
        fields["c"] = .unsigned(code.rawValue)
        fields["t"] = .text(shortened(text, bytesMax: WireLimits.goodbyeTextBytesMax))
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        code = Code(rawValue: try fields.number("c"))
        text = shortened(
            try fields.text("t", bytesMax: WireLimits.goodbyeTextBytesMax),
            bytesMax: WireLimits.goodbyeTextBytesMax)
    }
}

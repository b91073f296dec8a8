// Six digits on two screens: numeric comparison by commitment, as in Bluetooth's Secure Simple Pairing
// (Core Specification, volume 2, part H, section 7.2.1) and in the short strings of ZRTP (RFC 6189).
// Values only: bytes in, bytes and a code out.

internal import Trust

/// What the two sides must agree on before a code means anything. Who stands between them has two
/// channels, and so two transcripts.
///
///     newcomer                                   inviter
///        ── its key, signed ───────────────────────▶
///        ◀────────────── commitment to a nonce ──────
///        ── its nonce ─────────────────────────────▶
///        ◀──────────────────────── that nonce ───────
///     code                                       code
///
/// The inviter's nonce is fixed before it knows the other, and the newcomer's before it knows that: neither
/// can choose a code. The newcomer's side learns the code last, from the message with which the inviter shows
/// it to its person: nobody tries codes out there that no person sees.
package struct CodeTranscript: Equatable {
    static let nonceBytes = 32
    static let commitmentBytes = 32
    static let digits = 6

    /// The key that the inviter proved in TLS.
    var inviter: PublicKey
    /// The key that the newcomer proved in TLS: made for this one channel.
    var channelKey: PublicKey
    /// The key that the newcomer wants to be a member with.
    var newcomer: PublicKey
    /// ``SecureChannel/binding()``.
    var binding: [UInt8]

    private var bytes: [UInt8] { inviter.bytes + channelKey.bytes + newcomer.bytes + binding }

    /// What fixes a nonce of the inviter and does not tell it: 256 random bits hide in it.
    func commitment(to nonce: [UInt8]) -> [UInt8] {
        sha256(Array("starling code commitment 1".utf8) + bytes + nonce)
    }

    /// Six digits, zeros in front included.
    func code(inviter: [UInt8], newcomer: [UInt8]) -> String {
        // All parts have a fixed length.
        let hash = sha256(Array("starling code 1".utf8) + bytes + inviter + newcomer)
        // 2^64 is so much more than 10^6 that no code is likelier than another.
        let number = hash.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % 1_000_000
        let text = String(number)
        return String(repeating: "0", count: Self.digits - text.count) + text
    }

    /// As people read it: `047 291`.
    package static func shown(_ code: String) -> String {
        "\(code.prefix(3)) \(code.dropFirst(3))"
    }

    /// Whether a person typed a code, in whatever groups.
    package static func isCode(_ text: String) -> Bool { read(text) != nil }

    /// The digits of what a person typed; nil when it is no code.
    static func read(_ text: String) -> String? {
        let kept = text.utf8.filter { $0 > 0x20 && $0 != UInt8(ascii: "-") }
        guard kept.count == digits, kept.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return String(decoding: kept, as: UTF8.self)
    }
}

/// The inviter's half: commits, hears, reveals.
struct InvitingCode: Equatable {
    private let transcript: CodeTranscript
    private let nonce: [UInt8]
    /// nil before the newcomer's nonce is known.
    private(set) var code: String?

    init(_ transcript: CodeTranscript, nonce: [UInt8]) {
        precondition(nonce.count == CodeTranscript.nonceBytes, "a nonce has one length")
        self.transcript = transcript
        self.nonce = nonce
    }

    /// The first message.
    var commitment: CodeMessage { .commitment(transcript.commitment(to: nonce)) }

    /// Takes the newcomer's nonce; returns the message that reveals this side's.
    ///
    /// - Throws: `refused` for anything else, or the second time.
    mutating func received(_ message: CodeMessage?) throws(NodeError) -> CodeMessage {
        guard case .nonce(let other) = message, code == nil else { throw CodeMessage.unexpected }
        code = transcript.code(inviter: nonce, newcomer: other)
        return .nonce(nonce)
    }
}

/// The newcomer's half: hears, answers, checks.
struct JoiningCode: Equatable {
    private let transcript: CodeTranscript
    private let nonce: [UInt8]
    private var commitment: [UInt8]?
    private(set) var code: String?

    init(_ transcript: CodeTranscript, nonce: [UInt8]) {
        precondition(nonce.count == CodeTranscript.nonceBytes, "a nonce has one length")
        self.transcript = transcript
        self.nonce = nonce
    }

    /// Takes the commitment, then the nonce; returns what to send, which is nothing at the end.
    ///
    /// - Throws: `refused` for anything else, and for a nonce that is not the one of the commitment.
    mutating func received(_ message: CodeMessage?) throws(NodeError) -> CodeMessage? {
        switch (message, commitment) {
        case (.commitment(let bytes), nil):
            commitment = bytes
            return .nonce(nonce)
        case (.nonce(let other), let committed?) where code == nil:
            guard transcript.commitment(to: other) == committed else {
                throw NodeError(
                    .refused,
                    "the other machine changed its mind in the middle of the exchange, as somebody "
                        + "would who stands between the two: use a line of `starling invite`")
            }
            code = transcript.code(inviter: other, newcomer: nonce)
            return nil
        default: throw CodeMessage.unexpected
        }
    }
}

/// One step of the exchange, as an object of a line.
enum CodeMessage: Equatable {
    case commitment([UInt8])
    case nonce([UInt8])

    /// nil for anything that ``json`` cannot have made.
    init?(_ value: JSONValue) {
        func bytes(_ name: String, _ count: Int) -> [UInt8]? {
            value[name]?.string.flatMap(Hexadecimal.bytes).flatMap { $0.count == count ? $0 : nil }
        }
        if let found = bytes("commitment", CodeTranscript.commitmentBytes) {
            self = .commitment(found)
        } else if let found = bytes("nonce", CodeTranscript.nonceBytes) {
            self = .nonce(found)
        } else {
            return nil
        }
    }

    /// A line as the newcomer sends it; nil when it is none.
    init?(line: [UInt8]) {
        let limits = JSONLimits(bytesMax: PairingRequest.lineBytesMax, depthMax: 4)
        guard let value = try? JSONValue(parsing: line, limits: limits) else { return nil }
        self.init(value)
    }

    var json: JSONValue {
        switch self {
        case .commitment(let bytes): ["commitment": .string(Hexadecimal.text(bytes))]
        case .nonce(let bytes): ["nonce": .string(Hexadecimal.text(bytes))]
        }
    }

    static var unexpected: NodeError {
        NodeError(.refused, "the two machines have different versions of starling")
    }
}

// What one person gives another: whom to ask, where, and a secret that works once.

internal import Trust

/// An invitation as one line of text.
///
/// The line is `STARLING1-` and Crockford's base 32 of
///
///     inviter's public key 32 | secret 16 | expiry, Unix seconds, 4 | name | addresses
///         | checksum 4
///
/// where texts are a length byte and UTF-8, addresses a count byte and texts `host:port`, and the checksum
/// is the beginning of a SHA-256 of what stands before it.
package struct Invitation: Equatable {
    static let prefix = "STARLING1-"
    static let secretBytes = 16
    static let addressesMax = 6
    /// The longest line that is looked at.
    static let lineBytesMax = 2048

    var inviter: PublicKey
    var secret: [UInt8]
    var expiresSeconds: UInt32
    /// What the inviter is called.
    var name: String
    var addresses: [HostPort]

    /// The key that proves the secret in TLS; both sides make it from the invitation.
    func oneTimeKey() throws(TrustError) -> NodeKey {
        try NodeKey(secret: sha256(Array("starling invitation 1".utf8) + secret))
    }

    var line: String {
        let content = content
        return Self.prefix + Base32.text(content + Self.checksum(content))
    }

    /// What stands before the checksum.
    var content: [UInt8] {
        var bytes = inviter.bytes + secret
        bytes += withUnsafeBytes(of: expiresSeconds.bigEndian) { Array($0) }
        Self.append(name, to: &bytes)
        let listed = addresses.prefix(Self.addressesMax)
        bytes.append(UInt8(listed.count))
        for address in listed { Self.append(address.description, to: &bytes) }
        return bytes
    }

    /// Reads a line as somebody pasted or typed it: spaces, line breaks and dashes do not matter.
    ///
    /// - Throws: `usage` with what is wrong.
    package init(line: String) throws(NodeError) {
        guard line.utf8.count <= Self.lineBytesMax else { throw Self.refused("is too long") }
        let kept = Array(line.utf8).filter { $0 > 0x20 && $0 != UInt8(ascii: "-") }
        let prefix = Self.prefix.utf8.dropLast().map(Self.read)
        guard kept.prefix(prefix.count).map(Self.read) == prefix else {
            throw Self.refused("does not begin with \(Self.prefix)")
        }
        guard let bytes = Base32.bytes(kept.dropFirst(prefix.count)), bytes.count > 4,
            Self.checksum(bytes.dropLast(4)) == Array(bytes.suffix(4))
        else { throw Self.refused("is not whole, or a letter of it is wrong") }
        guard let read = Invitation(content: bytes.dropLast(4)) else {
            throw Self.refused("is of another version: use the same version of starling on both")
        }
        self = read
    }

    init(
        inviter: PublicKey, secret: [UInt8], expiresSeconds: UInt32, name: String,
        addresses: [HostPort]
    ) {
        self.inviter = inviter
        self.secret = secret
        self.expiresSeconds = expiresSeconds
        self.name = name
        self.addresses = addresses
    }

    /// nil for anything that ``content`` cannot have made.
    init?(content: some Collection<UInt8>) {
        var rest = Array(content)[...]
        func take(_ count: Int) -> [UInt8]? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        func text() -> String? {
            take(1).flatMap { take(Int($0[0])) }.flatMap { String(validating: $0, as: UTF8.self) }
        }
        guard let key = take(PublicKey.byteCount).flatMap({ try? PublicKey(bytes: $0) }),
            let secret = take(Self.secretBytes), let expires = take(4), let name = text(),
            let count = take(1)?[0], count <= Self.addressesMax
        else { return nil }
        var addresses: [HostPort] = []
        for _ in 0..<count {
            guard let address = text().flatMap({ HostPort($0) }) else { return nil }
            addresses.append(address)
        }
        guard rest.isEmpty else { return nil }
        self.init(
            inviter: key, secret: secret,
            expiresSeconds: expires.reduce(0) { $0 << 8 | UInt32($1) }, name: name,
            addresses: addresses)
    }

    /// A letter as base 32 reads it.
    private static func read(_ letter: UInt8) -> UInt8 {
        let isSmall = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter)
        let capital = isSmall ? letter - 0x20 : letter
        return switch capital {
        case UInt8(ascii: "I"), UInt8(ascii: "L"): UInt8(ascii: "1")
        case UInt8(ascii: "O"): UInt8(ascii: "0")
        default: capital
        }
    }

    private static func append(_ text: String, to bytes: inout [UInt8]) {
        let utf8 = Array(text.utf8.prefix(255))
        bytes.append(UInt8(utf8.count))
        bytes += utf8
    }

    private static func checksum(_ bytes: some Collection<UInt8>) -> [UInt8] {
        Array(sha256(Array("starling line 1".utf8) + bytes).prefix(4))
    }

    private static func refused(_ what: String) -> NodeError {
        NodeError(
            .usage,
            "this is no invitation: it \(what). Copy the whole line that `starling invite` printed")
    }
}

// Where a relay is: the URL that a person writes, checked.

/// `https://HOST[:PORT][/PREFIX]`, or `http://` for a relay in one's own network.
package struct RelayAddress: Hashable, Sendable, CustomStringConvertible {
    /// As it is used: without a slash at its end.
    package let text: String
    /// With `http` everybody on the way sees the credential, and could change what the relay says; never
    /// the content, which is sealed.
    package let isEncrypted: Bool

    package static let bytesMax = 500

    package var description: String { text }

    /// What is wrong with a URL, and what to write.
    package struct ParseError: Error, Equatable, CustomStringConvertible {
        package var description: String
        init(_ problem: String) {
            description =
                "\(problem): write https://HOST[:PORT][/PATH], or http:// for a relay nearby"
        }
    }

    package init(_ url: String) throws(ParseError) {
        guard url.utf8.count <= Self.bytesMax else { throw ParseError("the URL is too long") }
        let lower = url.lowercased()
        let rest: Substring
        if lower.hasPrefix("https://") {
            (isEncrypted, rest) = (true, url.dropFirst(8))
        } else if lower.hasPrefix("http://") {
            (isEncrypted, rest) = (false, url.dropFirst(7))
        } else {
            throw ParseError("the URL begins with neither https:// nor http://")
        }
        guard !rest.contains("@") else {
            throw ParseError("a relay's URL has no name or password in it")
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        var path = rest[slash...]
        while path.hasSuffix("/") { path = path.dropLast() }
        guard path.utf8.allSatisfy(Self.isPathByte), !path.contains("//"),
            !path.split(separator: "/").contains(where: { $0 == "." || $0 == ".." })
        else { throw ParseError("the URL's path has signs that do not belong there") }
        let host = try Self.host(authority)
        text = (isEncrypted ? "https://" : "http://") + host + path
    }

    private static func host(_ authority: Substring) throws(ParseError) -> String {
        var (name, port) = (authority, Substring?.none)
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else {
                throw ParseError("the URL's address has no closing bracket")
            }
            name = authority[...end]
            let more = authority[authority.index(after: end)...]
            if !more.isEmpty { port = more }
            let digits = name.dropFirst().dropLast()
            guard !digits.isEmpty,
                digits.utf8.allSatisfy({ isHexDigit($0) || $0 == 0x3a || $0 == 0x2e })
            else { throw ParseError("between the brackets of the URL stands no address") }
        } else if let colon = authority.firstIndex(of: ":") {
            (name, port) = (authority[..<colon], authority[colon...])
        }
        guard !name.isEmpty, name.hasPrefix("[") || name.utf8.allSatisfy(isHostByte) else {
            throw ParseError("the URL names no host")
        }
        guard let port else { return name.lowercased() }
        let digits = port.dropFirst()
        guard port.hasPrefix(":"), (1...5).contains(digits.utf8.count),
            digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt16(digits),
            number > 0
        else { throw ParseError("the URL's port is no number from 1 to 65535") }
        return name.lowercased() + ":\(number)"
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    /// Letters, digits, `-`, `.` and `_`.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
        default: false
        }
    }

    /// What stands in a path as it is (RFC 3986, section 2.3), and slashes.
    private static func isPathByte(_ byte: UInt8) -> Bool {
        isHostByte(byte) || byte == 0x2f || byte == 0x7e
    }
}

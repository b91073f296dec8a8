// An address as people write it: a host or an IP address, a colon, a port.

/// `host:port`, `192.168.1.20:7878`, `[fe80::1%eth0]:7878`. Only text: nothing is resolved here.
package struct HostPort: Sendable, Hashable, CustomStringConvertible {
    /// Without brackets.
    package var host: String
    package var port: UInt16

    /// The port on which nodes listen unless told otherwise.
    package static let portDefault: UInt16 = 7878
    /// The longest name of DNS is 253 bytes; a zone may follow an address.
    private static let hostBytesMax = 255

    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `text`; a missing port is `portDefault`. nil when it is no address.
    package init?(_ text: String) {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let host = text[text.index(after: text.startIndex)..<end]
            guard host.contains(":") else { return nil }
            self.init(host: host, rest: text[text.index(after: end)...])
        } else if text.split(separator: ":", omittingEmptySubsequences: false).count > 2 {
            // An IPv6 address without brackets cannot have a port.
            self.init(host: text[...], rest: "")
        } else {
            let end = text.firstIndex(of: ":") ?? text.endIndex
            self.init(host: text[..<end], rest: text[end...])
        }
    }

    private init?(host: Substring, rest: Substring) {
        // A bracket inside would make another address of what `description` writes.
        let refused = "/[]".utf8
        let isPlain = host.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !refused.contains($0) }
        guard !host.isEmpty, host.utf8.count <= Self.hostBytesMax, isPlain else { return nil }
        self.host = String(host)
        if rest.isEmpty {
            port = Self.portDefault
        } else {
            let digits = rest.dropFirst()
            guard rest.hasPrefix(":"), !digits.isEmpty, digits.allSatisfy(\.isASCIIDigit),
                let port = UInt16(digits)
            else { return nil }
            self.port = port
        }
    }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

extension Character {
    var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}

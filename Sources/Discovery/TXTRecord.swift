// The TXT record of DNS-SD: length-prefixed `key=value` strings (RFC 6763 §6). Reading takes
// whatever a stranger sends and keeps only what is well formed and safe to print.

enum TXTRecord {
    /// The wire form, keys in ascending order; one zero byte when there is no pair (§6.1).
    static func encode(_ pairs: [String: String]) -> [UInt8] {
        var out: [UInt8] = []
        for (key, value) in pairs.sorted(by: { $0.key < $1.key }) {
            let text = Array("\(key)=\(value)".utf8.prefix(DiscoveryLimits.txtPairBytesMax))
            out.append(UInt8(text.count))
            out += text
        }
        return out.isEmpty ? [0] : out
    }

    /// The pairs of a record, keys in lower case (§6.4: case does not count).
    ///
    /// A string without a key, with bytes that are no UTF-8, or with control characters is left
    /// out, and so is everything behind a length that points past the end. Of two equal keys the
    /// first to come is kept; Avahi hands the strings over in reverse order, so nothing may depend
    /// on which.
    static func decode(_ bytes: some Collection<UInt8>) -> [String: String] {
        var pairs: [String: String] = [:]
        var rest = bytes.prefix(DiscoveryLimits.txtReadBytesMax)
        while let length = rest.popFirst(), pairs.count < DiscoveryLimits.txtPairsMax {
            let text = rest.prefix(Int(length))
            guard text.count == Int(length) else { break }
            rest = rest.dropFirst(Int(length))
            guard let (key, value) = pair(text), pairs[key] == nil else { continue }
            pairs[key] = value
        }
        return pairs
    }

    /// Printable ASCII without `=` (§6.4).
    static func isKey(_ key: String) -> Bool {
        !key.isEmpty
            && key.utf8.allSatisfy { (0x20...0x7e).contains($0) && $0 != UInt8(ascii: "=") }
    }

    private static func pair(_ text: some Collection<UInt8>) -> (String, String)? {
        guard let whole = String(validating: text, as: UTF8.self),
            whole.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { return nil }
        let parts = whole.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let key = parts.first.map(String.init)?.lowercased(), isKey(key) else { return nil }
        return (key, parts.count == 2 ? String(parts[1]) : "")
    }
}

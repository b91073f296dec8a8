// Who a node is: made once by `starling init` or `starling join`, read by everything else. Its key lies
// beside it; nothing in here is secret.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The content of `identity.json`.
package struct Identity: Sendable, Equatable {
    /// 128 bits in hexadecimal, made of the node's public key. Not an origin: a node keeps it when its
    /// origin changes.
    package var node: String
    /// What people call it, at the time it was made; the configuration can say otherwise.
    package var name: String
    /// 128 bits in hexadecimal: nodes of one group exchange data.
    package var group: String
    /// Unix time.
    package var createdMilliseconds: Int64
    /// The node was let into its group, or let somebody in: then the database knows members, and one
    /// that does not is an old one.
    package var isMember: Bool

    package static let nameCharactersMax = 64

    package init(
        node: String, name: String, group: String, createdMilliseconds: Int64,
        isMember: Bool = false
    ) {
        self.node = node
        self.name = name
        self.group = group
        self.createdMilliseconds = createdMilliseconds
        self.isMember = isMember
    }

    /// Reads the file's content; nil when it is not an identity.
    init?(content: [UInt8]) {
        guard let value = try? JSONValue(parsing: content), value["v"] == 1,
            let node = value["node"]?.string, Self.isID(node),
            let group = value["group"]?.string, Self.isID(group),
            let name = value["name"]?.string, (try? Self.checkedName(name)) != nil,
            let created = value["created_ms"]?.int
        else { return nil }
        self.init(
            node: node, name: name, group: group, createdMilliseconds: created,
            isMember: value["member"]?.bool ?? false)
    }

    var content: [UInt8] {
        let value: JSONValue = [
            "v": 1, "node": .string(node), "name": .string(name), "group": .string(group),
            "created_ms": .int(createdMilliseconds), "member": .bool(isMember),
        ]
        return value.encoded + [0x0a]
    }

    /// 128 bits from the system's generator.
    package static func randomID() -> String {
        var generator = SystemRandomNumberGenerator()
        return Hexadecimal.text((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    private static func isID(_ text: String) -> Bool {
        text == text.lowercased() && Hexadecimal.bytes(text)?.count == 16
    }

    /// A group as a person types it: 32 hexadecimal digits, in either case, dashes allowed.
    package static func checkedGroup(_ text: String) throws(NodeError) -> String {
        let digits = text.lowercased().filter { $0 != "-" }
        guard isID(digits) else {
            throw NodeError(
                .usage,
                "a group is 32 hexadecimal digits, as `starling init` prints them on the first "
                    + "machine")
        }
        return digits
    }

    /// A name: 1 to 64 characters without line breaks and other control characters.
    package static func checkedName(_ text: String) throws(NodeError) -> String {
        let isPlain = text.unicodeScalars.allSatisfy { !$0.properties.generalCategory.isControl }
        guard !text.isEmpty, text.count <= nameCharactersMax, text.utf8.count <= 255, isPlain else {
            throw NodeError(
                .usage,
                "a node's name has 1 to \(nameCharactersMax) characters and no control characters")
        }
        return text
    }

    /// The machine's name without its domain.
    package static func machineName() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "node" }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let whole = String(decoding: bytes, as: UTF8.self)
        let short = String(whole.prefix { $0 != "." }.prefix(nameCharactersMax))
        return (try? checkedName(short)) ?? "node"
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isControl: Bool {
        switch self {
        case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: true
        default: false
        }
    }
}

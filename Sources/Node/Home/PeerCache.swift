// Addresses at which peers were last reached. A hint: a missing or damaged file costs some seconds
// of looking for peers, and nothing else.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The content of `peers.json`.
package struct PeerCache: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        /// The peer's node.
        package var node: String
        package var name: String
        /// The last that worked comes first.
        package var addresses: [HostPort]
        /// Unix time of the last connection.
        package var seenMilliseconds: Int64

        package init(
            node: String, name: String, addresses: [HostPort], seenMilliseconds: Int64
        ) {
            self.node = node
            self.name = name
            self.addresses = addresses
            self.seenMilliseconds = seenMilliseconds
        }
    }

    /// Newest first.
    package private(set) var entries: [Entry]

    /// Why the file could not be read; its absence is no problem.
    package private(set) var problem: String?

    package static let entriesMax = 256
    package static let addressesMax = 4
    private static let fileBytesMax = 1 << 20

    package init(entries: [Entry] = []) { self.entries = entries }

    /// Remembers that `node` answered at `address`. O(entries).
    package mutating func note(
        node: String, name: String, address: HostPort, nowMilliseconds: Int64
    ) {
        let known = entries.first { $0.node == node }?.addresses ?? []
        let addresses = [address] + known.filter { $0 != address }
        entries.removeAll { $0.node == node }
        entries.insert(
            Entry(
                node: node, name: name, addresses: Array(addresses.prefix(Self.addressesMax)),
                seenMilliseconds: nowMilliseconds),
            at: 0)
        entries = Array(entries.prefix(Self.entriesMax))
    }

    /// The remembered peers of `home`; none when the file is missing or damaged.
    package init(of home: Home) {
        var content: [UInt8] = []
        var problem: String?
        do { content = try AtomicFile.read(home.peersPath, bytesMax: Self.fileBytesMax) } catch {
            if error.number != ENOENT {
                problem = error.explain("cannot read the remembered peers in \(home.peersPath)")
            }
        }
        self.init(content: content)
        self.problem = problem
    }

    /// The peers of the file's content; none when it is damaged.
    init(content: [UInt8]) {
        let list = (try? JSONValue(parsing: content))?["peers"]?.array ?? []
        self.init(entries: list.prefix(Self.entriesMax).compactMap(Entry.init(json:)))
    }

    var content: [UInt8] {
        let value: JSONValue = ["v": 1, "peers": .array(entries.map(\.json))]
        return value.encoded + [0x0a]
    }

    /// Writes the file anew.
    ///
    /// - Throws: `SystemError`; the node goes on without.
    package func save(to home: Home) throws(SystemError) {
        try AtomicFile.replace(home.peersPath, with: content)
    }
}

extension PeerCache.Entry {
    fileprivate init?(json: JSONValue) {
        guard let node = json["node"]?.string, let name = json["name"]?.string,
            let seen = json["seen_ms"]?.int, let addresses = json["addresses"]?.array
        else { return nil }
        self.init(
            node: node, name: name,
            addresses: addresses.prefix(PeerCache.addressesMax).compactMap {
                $0.string.flatMap { HostPort($0) }
            },
            seenMilliseconds: seen)
    }

    fileprivate var json: JSONValue {
        [
            "node": .string(node), "name": .string(name),
            "addresses": .array(addresses.map { .string($0.description) }),
            "seen_ms": .int(seenMilliseconds),
        ]
    }
}

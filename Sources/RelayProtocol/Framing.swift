// The bodies of `sync`: what a client appends, and what the relay answers. A framing of its own,
// lengths before bytes and nothing else, so that a client needs no library.

/// One entry of a log: a key that makes the append idempotent, and opaque bytes.
package struct LogEntry: Hashable, Sendable {
    package var key: [UInt8]
    package var content: [UInt8]

    package init(key: [UInt8], content: [UInt8]) {
        self.key = key
        self.content = content
    }
}

/// What is wrong with a body.
package struct FramingError: Error, Equatable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// The limits and marks of the framing.
package enum Framing {
    package static let keyBytes = 16...64
    /// `S`, `R`, `L`, and the version.
    package static let magic: [UInt8] = [0x53, 0x52, 0x4c, 1]
    /// Entries in one request, at most.
    package static let entryCountMax = 4096

    /// The body of a request: the magic, then each entry.
    package static func request(_ entries: [LogEntry]) -> [UInt8] {
        var bytes = magic
        bytes.reserveCapacity(4 + entries.reduce(0) { $0 + 5 + $1.key.count + $1.content.count })
        for entry in entries { append(entry, to: &bytes) }
        return bytes
    }

    /// Reads the body of a request. An empty body has no entries.
    package static func entries(ofRequest body: [UInt8]) throws(FramingError) -> [LogEntry] {
        if body.isEmpty { return [] }
        var reader = FramingReader(body)
        try reader.magic()
        var entries: [LogEntry] = []
        while !reader.isAtEnd {
            guard entries.count < entryCountMax else {
                throw FramingError("more than \(entryCountMax) entries in one request")
            }
            entries.append(try reader.entry())
        }
        return entries
    }

    static func append(_ entry: LogEntry, to bytes: inout [UInt8]) {
        bytes.append(UInt8(entry.key.count))
        bytes.append(contentsOf: entry.key)
        number(UInt32(entry.content.count), to: &bytes)
        bytes.append(contentsOf: entry.content)
    }

    static func number(_ value: UInt32, to bytes: inout [UInt8]) {
        for shift in [24, 16, 8, 0] as [UInt32] {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }
}

/// The answer to `sync`.
package struct SyncAnswer: Equatable, Sendable {
    /// What became of an entry that the request brought.
    package enum Outcome: UInt8, Sendable {
        case appended = 0
        /// The same key with the same bytes was there already.
        case known = 1
    }

    /// Something behind the position that the request named, in the log's order.
    package enum Item: Equatable, Sendable {
        case entry(LogEntry)
        /// An entry that this request brought: its key only.
        case own(key: [UInt8])
    }

    /// One for each entry of the request, in its order.
    package var outcomes: [Outcome]
    package var items: [Item]
    /// There is more behind ``position`` already.
    package var hasMore: Bool
    /// Where to go on.
    package var position: LogPosition

    package init(outcomes: [Outcome], items: [Item], hasMore: Bool, position: LogPosition) {
        self.outcomes = outcomes
        self.items = items
        self.hasMore = hasMore
        self.position = position
    }

    private enum Mark {
        static let outcome = UInt8(ascii: "A")
        static let entry = UInt8(ascii: "E")
        static let own = UInt8(ascii: "K")
        static let end = UInt8(ascii: "P")
    }

    package var encoded: [UInt8] {
        var bytes = Framing.magic
        for outcome in outcomes { bytes += [Mark.outcome, outcome.rawValue] }
        for item in items {
            switch item {
            case .entry(let entry):
                bytes.append(Mark.entry)
                Framing.append(entry, to: &bytes)
            case .own(let key):
                bytes += [Mark.own, UInt8(key.count)] + key
            }
        }
        return bytes + [Mark.end, hasMore ? 1 : 0] + position.bytes
    }

    /// Reads an answer; one that was cut anywhere is refused, since the end has its mark.
    package init(decoding body: [UInt8]) throws(FramingError) {
        var reader = FramingReader(body)
        try reader.magic()
        (outcomes, items) = ([], [])
        while true {
            switch try reader.byte() {
            case Mark.outcome:
                guard items.isEmpty, let outcome = Outcome(rawValue: try reader.byte()) else {
                    throw FramingError("an outcome that is none, or out of place")
                }
                outcomes.append(outcome)
            case Mark.entry: items.append(.entry(try reader.entry()))
            case Mark.own: items.append(.own(key: try reader.key()))
            case Mark.end:
                let flag = try reader.byte()
                guard flag <= 1,
                    let position = LogPosition(try reader.bytes(LogPosition.byteCount)),
                    reader.isAtEnd
                else { throw FramingError("the end of the answer is none") }
                hasMore = flag == 1
                self.position = position
                return
            default: throw FramingError("a part of an unknown kind")
            }
        }
    }
}

/// Walks a body.
private struct FramingReader {
    private let content: [UInt8]
    private var place = 0

    init(_ content: [UInt8]) { self.content = content }

    var isAtEnd: Bool { place == content.count }

    mutating func byte() throws(FramingError) -> UInt8 {
        guard place < content.count else { throw FramingError("the body ends too early") }
        defer { place += 1 }
        return content[place]
    }

    mutating func bytes(_ count: Int) throws(FramingError) -> [UInt8] {
        guard count <= content.count - place else {
            throw FramingError("a length goes beyond the end of the body")
        }
        defer { place += count }
        return Array(content[place..<place + count])
    }

    mutating func magic() throws(FramingError) {
        guard content.count >= 4, Array(content[..<4]) == Framing.magic else {
            throw FramingError("the body does not begin with \"SRL\" and the version 1")
        }
        place = 4
    }

    mutating func key() throws(FramingError) -> [UInt8] {
        let count = Int(try byte())
        guard Framing.keyBytes.contains(count) else {
            throw FramingError("a key has 16 to 64 bytes, not \(count)")
        }
        return try bytes(count)
    }

    mutating func entry() throws(FramingError) -> LogEntry {
        let key = try key()
        let count = try bytes(4).reduce(0) { $0 << 8 | Int($1) }
        return LogEntry(key: key, content: try bytes(count))
    }
}

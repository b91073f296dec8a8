// All messages, and their first byte. A kind of 128 or more may be skipped by who does not know it.

package import Codec

/// One message between two peers.
package enum Message: Sendable, Equatable {
    case hello(HelloMessage)
    case state(StatementMessage)
    case schema(fingerprint: UInt64, description: CBOR)
    case want(WantMessage)
    case deltaBegin(HeaderMessage)
    case chunk(ChunkMessage)
    case deltaEnd
    /// Header, one chunk and end: it appears whole at the receiver.
    case wholeDelta(HeaderMessage, ChunkMessage)
    case credit(Int)
    case statement(StatementMessage)
    case ping(UInt64)
    case pong(UInt64)
    case goodbye(GoodbyeMessage)
    /// Where do these members stand, as far as the peer has heard?
    case ask([String])
    case reports([StatementReport])
    /// A message of a later version that may be ignored.
    case ignorable(kind: UInt8)

    enum Kind {
        static let hello: UInt8 = 1
        static let state: UInt8 = 2
        static let schema: UInt8 = 3
        static let want: UInt8 = 4
        static let deltaBegin: UInt8 = 5
        static let chunk: UInt8 = 6
        static let deltaEnd: UInt8 = 7
        static let wholeDelta: UInt8 = 8
        static let credit: UInt8 = 9
        static let statement: UInt8 = 10
        static let ping: UInt8 = 11
        static let pong: UInt8 = 12
        static let goodbye: UInt8 = 13
        /// A piece of a long message; more follow.
        static let part: UInt8 = 14
        /// The last piece of a long message.
        static let lastPart: UInt8 = 15
        static let optionalMin: UInt8 = 128
        static let ask: UInt8 = 128
        static let reports: UInt8 = 129
    }

    /// The whole message; see ``MessageFrames`` for what goes onto a link.
    package var encoded: [UInt8] {
        let (kind, item) = kindAndItem
        var writer = ByteWriter()
        writer.byte(kind)
        writer.raw(item.encoded)
        return writer.bytes
    }

    private var kindAndItem: (UInt8, CBOR) {
        switch self {
        case .hello(let hello): return (Kind.hello, hello.item)
        case .state(let state): return (Kind.state, state.item)
        case .schema(let fingerprint, let description):
            var fields = Fields()
            fields["f"] = .unsigned(fingerprint)
            fields["d"] = description
            return (Kind.schema, fields.item)
        case .want(let want): return (Kind.want, want.item)
        case .deltaBegin(let header): return (Kind.deltaBegin, header.item)
        case .chunk(let chunk): return (Kind.chunk, chunk.item)
        case .deltaEnd: return (Kind.deltaEnd, .map([:]))
        case .wholeDelta(let header, let chunk):
            var fields = Fields()
            fields["h"] = header.item
            fields["k"] = chunk.item
            return (Kind.wholeDelta, fields.item)
        case .credit(let count): return (Kind.credit, Message.single(UInt64(max(0, count))))
        case .statement(let statement): return (Kind.statement, statement.item)
        case .ping(let number): return (Kind.ping, Message.single(number))
        case .pong(let number): return (Kind.pong, Message.single(number))
        case .goodbye(let goodbye): return (Kind.goodbye, goodbye.item)
        case .ask(let nodes):
            var fields = Fields()
            fields["n"] = .array(nodes.prefix(WireLimits.reportsMax).map { .text($0) })
            return (Kind.ask, fields.item)
        case .reports(let reports):
            var fields = Fields()
            fields["r"] = StatementReport.item(of: reports)
            return (Kind.reports, fields.item)
        case .ignorable(let kind): return (max(kind, Kind.optionalMin), .map([:]))
        }
    }

    private static func single(_ number: UInt64) -> CBOR {
        var fields = Fields()
        fields["n"] = .unsigned(number)
        return fields.item
    }

    /// Decodes one whole message.
    ///
    /// - Throws: ``WireError`` for anything that ``encoded`` cannot have made.
    package init(decoding bytes: [UInt8]) throws(WireError) {
        guard let kind = bytes.first else { throw WireError(.malformed, "a message is empty") }
        if kind > Kind.reports {
            self = .ignorable(kind: kind)
            return
        }
        guard (Kind.hello...Kind.goodbye).contains(kind) || kind >= Kind.optionalMin else {
            throw WireError(.unknownKind, "message kind \(kind) is unknown to this version")
        }
        let item: CBOR
        do {
            let itemsMax =
                kind == Kind.schema ? WireLimits.schemaItemsMax : WireLimits.messageItemsMax
            item = try CBOR(decoding: Array(bytes.dropFirst()), itemsMax: itemsMax)
        } catch {
            throw WireError(error.code == .tooLarge ? .tooLarge : .malformed, error.message)
        }
        self = try Message.decoded(kind, item)
    }

    private static func askedNodes(_ item: CBOR) throws(WireError) -> [String] {
        guard let items = try Fields(item)["n"]?.arrayValue, items.count <= WireLimits.reportsMax
        else { throw WireError(.malformed, "a list of members is missing or too long") }
        return items.compactMap(\.textValue)
    }

    private static func decoded(_ kind: UInt8, _ item: CBOR) throws(WireError) -> Message {
        switch kind {
        case Kind.hello: return .hello(try HelloMessage(item))
        case Kind.state: return .state(try StatementMessage(item))
        case Kind.schema:
            let fields = try Fields(item)
            guard let description = fields["d"] else {
                throw WireError(.malformed, "a schema message has no description")
            }
            return .schema(fingerprint: try fields.number("f"), description: description)
        case Kind.want: return .want(try WantMessage(item))
        case Kind.deltaBegin: return .deltaBegin(try HeaderMessage(item))
        case Kind.chunk: return .chunk(try ChunkMessage(item))
        case Kind.deltaEnd:
            _ = try Fields(item)
            return .deltaEnd
        case Kind.wholeDelta:
            let fields = try Fields(item)
            return .wholeDelta(
                try HeaderMessage(try fields.fields("h").item),
                try ChunkMessage(try fields.fields("k").item))
        case Kind.credit:
            return .credit(try Fields(item).count("n", max: WireLimits.creditMax))
        case Kind.statement: return .statement(try StatementMessage(item))
        case Kind.ping: return .ping(try Fields(item).number("n"))
        case Kind.pong: return .pong(try Fields(item).number("n"))
        case Kind.ask: return .ask(try askedNodes(item))
        case Kind.reports: return .reports(try StatementReport.list(try Fields(item)["r"]))
        default: return .goodbye(try GoodbyeMessage(item))
        }
    }
}

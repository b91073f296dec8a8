// What two peers say first: who they are, and where their replicas stand.

package import CausalModel
internal import Codec

/// The first message of both sides. Identity only: it fits in 4 KiB whatever the group's size.
package struct HelloMessage: Sendable, Equatable {
    static let magic = "starling"

    /// Protocol versions that the sender speaks.
    package var versions: ClosedRange<UInt64>
    package var group: String
    package var node: String
    /// Random for each process: tells a restart from a clone.
    package var run: UInt64
    package var name: String
    package var origin: Origin
    /// Where the sender accepts connections; 0 when it does not.
    package var listenPort: UInt16
    package var schemaFingerprint: UInt64
    /// The sender's count of dials when it dialled this connection; 0 when it accepted it.
    package var dial: UInt64

    package init(
        versions: ClosedRange<UInt64> = WireLimits.versions, group: String, node: String,
        run: UInt64, name: String, origin: Origin, listenPort: UInt16, schemaFingerprint: UInt64,
        dial: UInt64
    ) {
        self.versions = versions
        self.group = group
        self.node = node
        self.run = run
        self.name = name
        self.origin = origin
        self.listenPort = listenPort
        self.schemaFingerprint = schemaFingerprint
        self.dial = dial
    }

    var item: CBOR {
        var fields = Fields()
        fields["m"] = .text(HelloMessage.magic)
        fields["v"] = .array([.unsigned(versions.lowerBound), .unsigned(versions.upperBound)])
        fields["g"] = .text(group)
        fields["n"] = .text(node)
        fields["r"] = .unsigned(run)
        fields["t"] = .text(shortened(name, bytesMax: WireLimits.nameBytesMax))
        fields["o"] = .bytes(origin.bytes)
        fields["p"] = .unsigned(UInt64(listenPort))
        fields["s"] = .unsigned(schemaFingerprint)
        fields["d"] = .unsigned(dial)
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        guard try fields.text("m", bytesMax: 32) == HelloMessage.magic else {
            throw WireError(.malformed, "the peer does not speak Starling's protocol")
        }
        guard let range = fields["v"]?.arrayValue, range.count == 2,
            let low = range[0].unsignedValue, let high = range[1].unsignedValue, low <= high
        else { throw WireError(.malformed, "the range of protocol versions is malformed") }
        versions = low...high
        group = try fields.identifier("g", bytesMax: WireLimits.groupBytesMax)
        node = try fields.identifier("n", bytesMax: WireLimits.nodeBytesMax)
        run = try fields.number("r")
        name = shortened(
            try fields.text("t", bytesMax: WireLimits.nameBytesMax),
            bytesMax: WireLimits.nameBytesMax)
        origin = try fields.origin("o")
        listenPort = UInt16(try fields.number("p", max: 65_535))
        schemaFingerprint = try fields.number("s")
        dial = try fields.number("d")
    }
}

/// Where a replica stands: `state` after the hellos, `statement` whenever it moved.
package struct StatementMessage: Sendable, Equatable {
    package var origin: Origin
    package var vector: VersionVector
    package var isWhole: Bool
    package var beyondHash: UInt64
    package var digest: UInt64
    package var schemaFingerprint: UInt64
    /// What the sender has collected. Who has not seen all of it is out of date.
    package var floor: VersionVector
    /// In a `state`: the sender's count of connections it has settled on.
    package var choice: UInt64
    /// In a `statement`: chunks applied since the last credit.
    package var credit: Int
    /// The sender takes the receiver's changes: false says that the receiver is a reader, or has to take
    /// a copy first.
    package var accepts = true
    /// The dot by which the sender has joined under its origin; nil while it waits for a copy.
    package var joined: Dot?
    /// Earlier origins of the sender since which it has forgotten nothing, the last one first.
    package var continued: [Origin] = []
    /// The sender has rows of a removed node half received: what it says of its vector does not count yet
    /// for collecting.
    package var hasUnsettled = false
    /// The group could go on from the sender's file: it knows itself as a writer, and has taken part.
    package var canLead = true
    /// It forwards to the group's relay, or would if nobody else on its network did.
    package var forwards = false

    package init(
        origin: Origin, vector: VersionVector, isWhole: Bool, beyondHash: UInt64, digest: UInt64,
        schemaFingerprint: UInt64, floor: VersionVector = VersionVector(), choice: UInt64 = 0,
        credit: Int = 0
    ) {
        self.origin = origin
        self.vector = vector
        self.isWhole = isWhole
        self.beyondHash = beyondHash
        self.digest = digest
        self.schemaFingerprint = schemaFingerprint
        self.floor = floor
        self.choice = choice
        self.credit = credit
    }

    var item: CBOR {
        var fields = Fields()
        fields["o"] = .bytes(origin.bytes)
        fields["v"] = .bytes(encodeVector(vector))
        fields["w"] = .bool(isWhole)
        fields["b"] = .unsigned(beyondHash)
        fields["d"] = .unsigned(digest)
        fields["s"] = .unsigned(schemaFingerprint)
        if !floor.isEmpty { fields["f"] = .bytes(encodeVector(floor)) }
        fields["h"] = .unsigned(choice)
        fields["c"] = .unsigned(UInt64(max(0, credit)))
        fields["a"] = .bool(accepts)
        if let joined {
            fields["j"] = .array([.bytes(joined.origin.bytes), .unsigned(joined.number)])
        }
        if !continued.isEmpty { fields["p"] = .array(continued.map { .bytes($0.bytes) }) }
        if hasUnsettled { fields["u"] = .bool(true) }
        if !canLead { fields["r"] = .bool(true) }
        if forwards { fields["fw"] = .bool(true) }
        return fields.item
    }

    init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        origin = try fields.origin("o")
        vector = try fields.vector("v")
        isWhole = try fields.flag("w")
        beyondHash = try fields.number("b")
        digest = try fields.number("d")
        schemaFingerprint = try fields.number("s")
        floor = try fields["f"] == nil ? VersionVector() : fields.vector("f")
        choice = try fields.number("h")
        credit = try fields.count("c", max: WireLimits.creditMax)
        accepts = fields["a"] == nil ? true : try fields.flag("a")
        joined = try fields["j"].map { item throws(WireError) in try StatementMessage.dot(item) }
        continued = try fields.origins("p", max: WireLimits.continuedMax)
        hasUnsettled = fields["u"] == nil ? false : try fields.flag("u")
        canLead = fields["r"] == nil ? true : try !fields.flag("r")
        forwards = fields["fw"] == nil ? false : try fields.flag("fw")
    }

    private static func dot(_ item: CBOR) throws(WireError) -> Dot {
        guard let parts = item.arrayValue, parts.count == 2,
            let origin = parts[0].bytesValue.flatMap({ Origin(bytes: $0) }),
            let number = parts[1].unsignedValue, number > 0, number <= WireLimits.numberMax
        else { throw WireError(.malformed, "the dot of joining is malformed") }
        return Dot(origin, number)
    }
}

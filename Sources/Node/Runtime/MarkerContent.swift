// What the marker says, as JSON. The file is overwritten in place while the node runs, so anything
// may be found in it after a crash; what does not read is no marker.

internal import CausalModel

/// The content of `marker`.
struct MarkerContent: Equatable {
    var nonce: Int64
    var origin: Origin
    /// The highest number that was given under `origin`, told to others or not.
    var exported: UInt64
    /// The highest that may have been told to anybody.
    var told: UInt64
    /// The sum of all numbers in the vector that may have been told.
    var toldTotal: UInt64
    /// The same for the provisional origin of a replica that waits for its copy.
    var provisional: Dot?
    var device: UInt64
    var inode: UInt64
    var born: Int64
    var boot: String
    var isClean: Bool
    /// Origins that this node wrote under before, the latest last, and never will again.
    var ended: [Origin] = []

    static let endedMax = 8

    mutating func end(_ origin: Origin) {
        ended.removeAll { $0 == origin }
        ended = (ended + [origin]).suffix(Self.endedMax)
    }
}

extension MarkerContent {
    init?(content bytes: [UInt8]) {
        guard let value = try? JSONValue(parsing: bytes), let nonce = value["nonce"]?.int,
            let origin = value["origin"]?.string.flatMap({ Origin(hex: $0) }),
            let exported = value["exported"]?.int, let device = value["device"]?.int,
            let inode = value["inode"]?.int, let born = value["born"]?.int,
            let boot = value["boot"]?.string, let isClean = value["clean"]?.bool
        else { return nil }
        var provisional: Dot?
        if let origin = value["provisional"]?.string.flatMap({ Origin(hex: $0) }),
            let number = value["provisional_exported"]?.int
        {
            provisional = Dot(origin, UInt64(bitPattern: number))
        }
        self.init(
            nonce: nonce, origin: origin, exported: UInt64(bitPattern: exported),
            // A marker of an earlier version does not say.
            told: UInt64(bitPattern: value["told"]?.int ?? exported),
            toldTotal: UInt64(bitPattern: value["told_total"]?.int ?? 0),
            provisional: provisional, device: UInt64(bitPattern: device),
            inode: UInt64(bitPattern: inode), born: born,
            boot: boot, isClean: isClean,
            ended: (value["ended"]?.array ?? []).compactMap { $0.string.flatMap(Origin.init(hex:)) }
                .suffix(Self.endedMax))
    }

    /// One line without its end.
    var content: [UInt8] {
        var value: JSONObject = [
            "v": 1, "nonce": .int(nonce), "origin": .string(origin.hex),
            "exported": .int(Int64(bitPattern: exported)),
            "told": .int(Int64(bitPattern: told)),
            "told_total": .int(Int64(bitPattern: toldTotal)),
            "device": .int(Int64(bitPattern: device)), "inode": .int(Int64(bitPattern: inode)),
            "born": .int(born), "boot": .string(boot), "clean": .bool(isClean),
            "ended": .array(ended.map { .string($0.hex) }),
        ]
        if let provisional {
            value["provisional"] = .string(provisional.origin.hex)
            value["provisional_exported"] = .int(Int64(bitPattern: provisional.number))
        }
        return JSONValue.object(value).encoded
    }
}

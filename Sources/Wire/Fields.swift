// Building and reading the CBOR maps that messages consist of. Unknown keys are ignored, so that a
// later version can add fields; every known one is checked for kind and range here.

internal import CausalModel
internal import Codec

/// The fields of one message, by their short names.
struct Fields {
    var pairs: [CBOR: CBOR] = [:]

    init() {}

    init(_ item: CBOR) throws(WireError) {
        guard case .map(let pairs) = item else {
            throw WireError(.malformed, "a message is not a map of fields")
        }
        self.pairs = pairs
    }

    var item: CBOR { .map(pairs) }

    subscript(_ name: String) -> CBOR? {
        get { pairs[.text(name)] }
        set { pairs[.text(name)] = newValue }
    }

    private func missing(_ name: String) -> WireError {
        WireError(.malformed, "the field '\(name)' is missing or of another kind")
    }

    func number(_ name: String, max: UInt64 = .max) throws(WireError) -> UInt64 {
        guard let value = self[name]?.unsignedValue else { throw missing(name) }
        guard value <= max else {
            throw WireError(.tooLarge, "the number in field '\(name)' is above its limit")
        }
        return value
    }

    /// A number whose limit fits an `Int`.
    func count(_ name: String, max: UInt64) throws(WireError) -> Int {
        Int(try number(name, max: max))
    }

    func flag(_ name: String) throws(WireError) -> Bool {
        guard let value = self[name]?.boolValue else { throw missing(name) }
        return value
    }

    func text(_ name: String, bytesMax: Int) throws(WireError) -> String {
        guard let value = self[name]?.textValue else { throw missing(name) }
        guard value.utf8.count <= bytesMax else {
            throw WireError(.tooLarge, "the text in field '\(name)' is above its limit")
        }
        return value
    }

    /// A name that goes into logs and files: not empty, printable ASCII without spaces.
    func identifier(_ name: String, bytesMax: Int) throws(WireError) -> String {
        let value = try text(name, bytesMax: bytesMax)
        guard !value.isEmpty, value.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw WireError(
                .malformed, "the name in field '\(name)' has other characters than ASCII")
        }
        return value
    }

    func bytes(_ name: String) throws(WireError) -> [UInt8] {
        guard let value = self[name]?.bytesValue else { throw missing(name) }
        return value
    }

    func origin(_ name: String) throws(WireError) -> Origin {
        guard let origin = Origin(bytes: try bytes(name)) else {
            throw WireError(.malformed, "the origin in field '\(name)' is not 16 bytes long")
        }
        return origin
    }

    /// Empty when the field is not there.
    func origins(_ name: String, max: Int) throws(WireError) -> [Origin] {
        guard let item = self[name] else { return [] }
        guard let items = item.arrayValue else { throw missing(name) }
        guard items.count <= max else {
            throw WireError(.tooLarge, "the list of origins in field '\(name)' is too long")
        }
        return items.compactMap { $0.bytesValue.flatMap { Origin(bytes: $0) } }
    }

    func vector(_ name: String) throws(WireError) -> VersionVector {
        try decodeVector(try bytes(name))
    }

    func fields(_ name: String) throws(WireError) -> Fields {
        guard let item = self[name] else { throw missing(name) }
        return try Fields(item)
    }
}

/// `text` without control characters, cut between characters so that it fits `bytesMax`.
func shortened(_ text: String, bytesMax: Int) -> String {
    var result = ""
    var size = 0
    for character in text where !character.unicodeScalars.contains(where: { $0.value < 0x20 }) {
        size += character.utf8.count
        if size > bytesMax { break }
        result.append(character)
    }
    return result
}

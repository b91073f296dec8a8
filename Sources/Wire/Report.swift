// What one member passes on of where others stand, for those who do not meet them: in a larger group
// nobody is linked with everybody, and two homes that meet at a relay never are.

package import CausalModel
internal import Codec

/// The latest statement of a third member, as it was noted by who passes it on.
package struct StatementReport: Sendable, Equatable {
    package var node: String
    package var name: String
    /// What the member numbered under when it said so.
    package var origin: Origin
    package var vector: VersionVector
    /// How long ago it was heard: clocks differ.
    package var ageMilliseconds: Int64

    package init(
        node: String, name: String, origin: Origin, vector: VersionVector, ageMilliseconds: Int64
    ) {
        self.node = node
        self.name = name
        self.origin = origin
        self.vector = vector
        self.ageMilliseconds = ageMilliseconds
    }

    private var item: CBOR {
        var fields = Fields()
        fields["n"] = .text(node)
        fields["m"] = .text(shortened(name, bytesMax: WireLimits.nameBytesMax))
        fields["o"] = .bytes(origin.bytes)
        fields["v"] = .bytes(encodeVector(vector))
        fields["a"] = .unsigned(UInt64(clamping: ageMilliseconds))
        return fields.item
    }

    private init(_ item: CBOR) throws(WireError) {
        let fields = try Fields(item)
        node = try fields.identifier("n", bytesMax: WireLimits.nodeBytesMax)
        name = try fields.text("m", bytesMax: WireLimits.nameBytesMax)
        origin = try fields.origin("o")
        vector = try fields.vector("v")
        ageMilliseconds = Int64(try fields.number("a", max: WireLimits.numberMax))
    }

    static func item(of reports: [StatementReport]) -> CBOR {
        .array(reports.prefix(WireLimits.reportsMax).map(\.item))
    }

    static func list(_ item: CBOR?) throws(WireError) -> [StatementReport] {
        guard let items = item?.arrayValue, items.count <= WireLimits.reportsMax else {
            throw WireError(.malformed, "a list of reports is missing or too long")
        }
        var reports: [StatementReport] = []
        for item in items { reports.append(try StatementReport(item)) }
        return reports
    }
}

// SQLite's five storage classes as plain bytes. Every module that touches a row's content uses this
// type, so that a value crosses the store, the wire and the digest bit for bit.

/// One SQL value in its storage class.
///
/// Text is kept as raw bytes: SQLite lets TEXT hold NUL and invalid UTF-8, which `String` would
/// repair. Equality is identity of storage class and bits: `1` is not `1.0`, `0.0` is not `-0.0`.
package enum Value: Sendable, Hashable {
    case null
    case integer(Int64)
    case real(Double)
    case text([UInt8])
    case blob([UInt8])

    package static func == (left: Value, right: Value) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.integer(let a), .integer(let b)): a == b
        case (.real(let a), .real(let b)): a.bitPattern == b.bitPattern
        case (.text(let a), .text(let b)): a == b
        case (.blob(let a), .blob(let b)): a == b
        default: false
        }
    }

    package func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .integer(let value): hasher.combine(value)
        case .real(let value): hasher.combine(value.bitPattern)
        case .text(let bytes), .blob(let bytes): hasher.combine(bytes)
        }
    }

    /// A text value from a Swift string.
    package static func string(_ text: String) -> Value { .text(Array(text.utf8)) }

    package var isNull: Bool { self == .null }

    /// The number of payload bytes, for budgets; fixed-size classes count as eight.
    package var payloadBytes: Int {
        switch self {
        case .null: 0
        case .integer, .real: 8
        case .text(let bytes), .blob(let bytes): bytes.count
        }
    }
}

extension Value {
    /// A total order over storage class and bytes, without meaning to SQL; used to pick alike.
    package func precedes(_ other: Value) -> Bool {
        switch (self, other) {
        case (.integer(let a), .integer(let b)): a < b
        case (.real(let a), .real(let b)): a.bitPattern < b.bitPattern
        case (.text(let a), .text(let b)), (.blob(let a), .blob(let b)):
            a.lexicographicallyPrecedes(b)
        default: rank < other.rank
        }
    }

    private var rank: Int {
        switch self {
        case .null: 0
        case .integer: 1
        case .real: 2
        case .text: 3
        case .blob: 4
        }
    }
}

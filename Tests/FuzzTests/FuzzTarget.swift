// What a fuzz target is: bytes in, an error out when a promise of the decoder is broken. The same
// targets run under libFuzzer (`Config/fuzz`) and, over the kept corpus, in every `swift test`.

/// A promise that an input broke.
struct FuzzFailure: Error, CustomStringConvertible {
    var description: String
}

/// Throws when `condition` does not hold.
func promise(_ condition: Bool, _ text: @autoclosure () -> String) throws {
    if !condition { throw FuzzFailure(description: text()) }
}

/// One decoder under attack.
///
/// `check` returns for every input that the decoder refuses or takes rightly; it throws, or the
/// process dies, for a defect.
struct FuzzTarget: Sendable {
    var name: String
    /// The longest input that libFuzzer makes.
    var bytesMax: Int
    /// Words of the format, for libFuzzer's dictionary.
    var words: [[UInt8]] = []
    /// Valid inputs made by the real encoders, to begin with.
    var seeds: @Sendable () throws -> [[UInt8]]
    var check: @Sendable ([UInt8]) throws -> Void

    /// Those that the issue counts: ten million executions each. The others drive a whole store.
    static let decoders: [FuzzTarget] = [
        .frames, .assembler, .message, .cbor, .value, .vector, .compression, .chunk, .kernel,
        .record, .schema, .expression, .json, .control, .configuration, .files, .text, .invitation,
        .discovery, .relay, .sealed, .log,
    ]
    static let stores: [FuzzTarget] = [.apply, .adopt, .session]
    static let all = decoders + stores

    static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

func phrases(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

/// Takes an input apart into small choices; at its end everything is zero.
struct FuzzInput {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func below(_ bound: Int) -> Int { Int(byte()) % bound }

    mutating func number() -> UInt64 {
        (0..<8).reduce(0) { value, _ in value << 8 | UInt64(byte()) }
    }

    /// A length of one or two bytes, then as many bytes as there are.
    mutating func bytes() -> [UInt8] {
        var count = Int(byte())
        if count >= 0x80 { count = (count & 0x7f) << 8 | Int(byte()) }
        let part = rest.prefix(count)
        rest = rest.dropFirst(count)
        return Array(part)
    }

    mutating func text() -> String { String(decoding: bytes(), as: UTF8.self) }

    mutating func all() -> [UInt8] {
        defer { rest = [] }
        return Array(rest)
    }

    /// The reverse of `bytes`.
    static func piece(_ bytes: [UInt8]) -> [UInt8] {
        let count = min(bytes.count, 0x7fff)
        let head =
            count < 0x80 ? [UInt8(count)] : [0x80 | UInt8(count >> 8), UInt8(count & 0xff)]
        return head + bytes.prefix(count)
    }
}

// The reader of JSON: strict, with limits on size, depth and number of values, because what it
// reads may come from anyone who can open the socket or edit a file. It also reads JSON5 for
// configuration.

/// What a reader accepts before it gives up.
package struct JSONLimits: Sendable {
    package var bytesMax: Int
    package var depthMax: Int
    package var valuesMax: Int

    package init(bytesMax: Int = 16 << 20, depthMax: Int = 64, valuesMax: Int = 1 << 20) {
        self.bytesMax = bytesMax
        self.depthMax = depthMax
        self.valuesMax = valuesMax
    }
}

/// Why a text is not JSON, and where. Lines and columns count from 1, columns in bytes.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    package var message: String
    package var line: Int
    package var column: Int

    package var description: String { "line \(line), column \(column): \(message)" }
}

extension JSONValue {
    /// Reads one value and nothing after it.
    ///
    /// Refused: duplicate keys, whole numbers beyond 64 bits, lone surrogates, invalid UTF-8, and
    /// anything beyond `limits`. O(size).
    package init(parsing bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) {
        var parser = JSONParser(bytes: bytes, dialect: .strict, limits: limits)
        self = try parser.document()
    }

    package init(parsing text: String, limits: JSONLimits = JSONLimits()) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), limits: limits)
    }
}

/// A recursive-descent reader; the depth limit bounds the recursion.
struct JSONParser {
    enum Dialect {
        /// RFC 8259.
        case strict
        /// <https://spec.json5.org>: comments, trailing commas, bare keys, single quotes,
        /// hexadecimal. Without infinities and NaN, and bare keys are ASCII.
        case json5
    }

    let bytes: [UInt8]
    let dialect: Dialect
    let limits: JSONLimits
    var index = 0
    private var depth = 0
    private var values = 0
    private var path = ""
    /// The line of each key of a JSON5 text by its path, such as `derived[0].name`.
    private(set) var lines: [String: Int] = [:]

    init(bytes: [UInt8], dialect: Dialect, limits: JSONLimits) {
        self.bytes = bytes
        self.dialect = dialect
        self.limits = limits
    }

    /// The whole text as one value.
    mutating func document() throws(JSONError) -> JSONValue {
        guard bytes.count <= limits.bytesMax else {
            throw failure("longer than \(limits.bytesMax) bytes")
        }
        if dialect == .json5, bytes.starts(with: [0xef, 0xbb, 0xbf]) { index = 3 }
        try skipSpace()
        let value = try value()
        try skipSpace()
        guard index == bytes.count else { throw failure("something follows the value") }
        return value
    }

    var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    func failure(_ message: String) -> JSONError {
        let before = bytes[..<min(index, bytes.count)]
        let line = before.reduce(1) { $0 + ($1 == 0x0a ? 1 : 0) }
        let start = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        return JSONError(message: message, line: line, column: before.count - start + 1)
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        index += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        values += 1
        guard values <= limits.valuesMax else {
            throw failure("more than \(limits.valuesMax) values")
        }
        guard let byte = current else { throw failure("the text ends where a value should be") }
        switch byte {
        case UInt8(ascii: "{"): return try nested { (self) throws(JSONError) in try self.object() }
        case UInt8(ascii: "["): return try nested { (self) throws(JSONError) in try self.list() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "'") where dialect == .json5: return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func nested(
        _ read: (inout JSONParser) throws(JSONError) -> JSONValue
    ) throws(JSONError) -> JSONValue {
        guard depth < limits.depthMax else {
            throw failure("nested deeper than \(limits.depthMax) levels")
        }
        depth += 1
        index += 1
        let value = try read(&self)
        depth -= 1
        return value
    }

    private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[index...].starts(with: text.utf8) else {
            throw failure("this is not a value; text goes between quotes")
        }
        index += text.utf8.count
        return value
    }

    private mutating func list() throws(JSONError) -> JSONValue {
        var items: [JSONValue] = []
        let outer = path
        defer { path = outer }
        try skipSpace()
        if take(UInt8(ascii: "]")) { return .array(items) }
        while true {
            if dialect == .json5 { path = "\(outer)[\(items.count)]" }
            items.append(try value())
            try skipSpace()
            if take(UInt8(ascii: "]")) { return .array(items) }
            guard take(UInt8(ascii: ",")) else { throw failure("expected a comma or ]") }
            try skipSpace()
            if dialect == .json5, take(UInt8(ascii: "]")) { return .array(items) }
        }
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        var object = JSONObject()
        var seen: Set<String> = []
        let outer = path
        defer { path = outer }
        try skipSpace()
        if take(UInt8(ascii: "}")) { return .object(object) }
        while true {
            let position = index
            let key = try key()
            guard seen.insert(key).inserted else {
                index = position
                throw failure("the key \"\(key)\" stands here twice")
            }
            if dialect == .json5 {
                path = outer.isEmpty ? key : "\(outer).\(key)"
                lines[path] = failure("").line
            }
            try skipSpace()
            guard take(UInt8(ascii: ":")) else { throw failure("expected a colon after the key") }
            try skipSpace()
            object.append(key, try value())
            try skipSpace()
            if take(UInt8(ascii: "}")) { return .object(object) }
            guard take(UInt8(ascii: ",")) else { throw failure("expected a comma or }") }
            try skipSpace()
            if dialect == .json5, take(UInt8(ascii: "}")) { return .object(object) }
        }
    }

    private mutating func key() throws(JSONError) -> String {
        if current == UInt8(ascii: "\"") { return try string() }
        guard dialect == .json5 else { throw failure("expected a key between double quotes") }
        if current == UInt8(ascii: "'") { return try string() }
        let start = index
        while let byte = current, Self.isNameByte(byte) { index += 1 }
        guard index > start else { throw failure("expected a key") }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"):
            true
        default: false
        }
    }
}

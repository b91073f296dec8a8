// The parts of the JSON reader below a value: space and comments, texts with their escapes,
// numbers.

extension JSONParser {
    mutating func skipSpace() throws(JSONError) {
        while let byte = current {
            switch byte {
            case 0x20, 0x09, 0x0a, 0x0d: index += 1
            case 0x0b where dialect == .json5, 0x0c where dialect == .json5: index += 1
            case 0xc2 where dialect == .json5 && bytes[index...].starts(with: [0xc2, 0xa0]):
                index += 2
            case UInt8(ascii: "/") where dialect == .json5: try skipComment()
            default: return
            }
        }
    }

    private mutating func skipComment() throws(JSONError) {
        let start = index
        index += 1
        if take(UInt8(ascii: "/")) {
            while let byte = current, byte != 0x0a { _ = take(byte) }
            return
        }
        guard take(UInt8(ascii: "*")) else { throw failure("a comment starts with // or /*") }
        while let byte = current {
            index += 1
            if byte == UInt8(ascii: "*"), take(UInt8(ascii: "/")) { return }
        }
        index = start
        throw failure("the comment that starts here has no end")
    }

    // MARK: Texts

    mutating func string() throws(JSONError) -> String {
        let start = index
        let quote = bytes[index]
        index += 1
        var content: [UInt8] = []
        while let byte = current {
            index += 1
            switch byte {
            case quote:
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw failure("the text is not UTF-8")
                }
                return text
            case UInt8(ascii: "\\"): try escape(into: &content)
            case 0..<0x20:
                index -= 1
                throw failure("a line break or control character inside a text")
            default: content.append(byte)
            }
        }
        index = start
        throw failure("the text that starts here has no closing quote")
    }

    private mutating func escape(into content: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw failure("the text ends inside an escape") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0c)
        case UInt8(ascii: "n"): content.append(0x0a)
        case UInt8(ascii: "r"): content.append(0x0d)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"): content.append(contentsOf: try unicodeEscape())
        default:
            guard dialect == .json5 else {
                index -= 1
                throw failure("unknown escape in a text")
            }
            try escapeOfJSON5(byte, into: &content)
        }
    }

    private mutating func escapeOfJSON5(
        _ byte: UInt8, into content: inout [UInt8]
    ) throws(JSONError) {
        switch byte {
        case UInt8(ascii: "'"): content.append(byte)
        case UInt8(ascii: "v"): content.append(0x0b)
        case UInt8(ascii: "0"): content.append(0)
        case UInt8(ascii: "x"):
            content.append(contentsOf: Array(String(UnicodeScalar(UInt8(try hex(2)))).utf8))
        // A line break after a backslash continues the text on the next line.
        case 0x0d: _ = take(0x0a)
        case 0x0a: break
        default:
            index -= 1
            throw failure("unknown escape in a text")
        }
    }

    private mutating func hex(_ count: Int) throws(JSONError) -> UInt32 {
        var number: UInt32 = 0
        for _ in 0..<count {
            guard let byte = current, let digit = Hexadecimal.value(byte) else {
                throw failure("expected \(count) hexadecimal digits")
            }
            index += 1
            number = number << 4 | UInt32(digit)
        }
        return number
    }

    private mutating func unicodeEscape() throws(JSONError) -> [UInt8] {
        var number = try hex(4)
        if (0xd800...0xdbff).contains(number) {
            guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
                throw failure("half of a surrogate pair")
            }
            let low = try hex(4)
            guard (0xdc00...0xdfff).contains(low) else {
                throw failure("half of a surrogate pair")
            }
            number = 0x10000 + (number - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = UnicodeScalar(number) else { throw failure("half of a surrogate pair") }
        return Array(String(scalar).utf8)
    }

    // MARK: Numbers

    mutating func number() throws(JSONError) -> JSONValue {
        let start = index
        let negative = take(UInt8(ascii: "-"))
        if dialect == .json5, !negative { _ = take(UInt8(ascii: "+")) }
        if dialect == .json5, current == UInt8(ascii: "0"), index + 1 < bytes.count,
            bytes[index + 1] | 0x20 == UInt8(ascii: "x")
        {
            return try hexadecimalNumber(negative: negative)
        }
        let whole = digits()
        let leadingZero = whole.count > 1 && whole.first == UInt8(ascii: "0")
        var fraction: ArraySlice<UInt8>?
        if take(UInt8(ascii: ".")) { fraction = digits() }
        let lacksDigits =
            dialect == .json5
            ? whole.isEmpty && (fraction ?? []).isEmpty
            : whole.isEmpty || fraction?.isEmpty == true
        guard !lacksDigits, !leadingZero else {
            index = start
            throw failure(
                leadingZero
                    ? "a number does not start with 0" : "expected a value; text goes in quotes")
        }
        let exponent = try exponent()
        let sign = negative ? "-" : ""
        if fraction == nil, exponent == nil {
            let text = sign + String(decoding: whole, as: UTF8.self)
            guard let value = Int64(text) else {
                index = start
                throw failure("the whole number does not fit in 64 bits")
            }
            return .int(value)
        }
        let wholeText = whole.isEmpty ? "0" : String(decoding: whole, as: UTF8.self)
        let rest = (fraction ?? []).isEmpty ? "0" : String(decoding: fraction ?? [], as: UTF8.self)
        guard let value = Double("\(sign)\(wholeText).\(rest)e\(exponent ?? "0")"), value.isFinite
        else {
            index = start
            throw failure("the number is out of range")
        }
        return .double(value)
    }

    private mutating func digits() -> ArraySlice<UInt8> {
        let start = index
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            index += 1
        }
        return bytes[start..<index]
    }

    private mutating func exponent() throws(JSONError) -> String? {
        guard let byte = current, byte | 0x20 == UInt8(ascii: "e") else { return nil }
        index += 1
        let sign = take(UInt8(ascii: "-")) ? "-" : ""
        if sign.isEmpty { _ = take(UInt8(ascii: "+")) }
        let digits = digits()
        guard !digits.isEmpty else { throw failure("expected the digits of an exponent") }
        return sign + String(decoding: digits, as: UTF8.self)
    }

    private mutating func hexadecimalNumber(negative: Bool) throws(JSONError) -> JSONValue {
        let start = index
        index += 2
        let digitsStart = index
        while let byte = current, Hexadecimal.value(byte) != nil { index += 1 }
        let text = String(decoding: bytes[digitsStart..<index], as: UTF8.self)
        guard let value = Int64((negative ? "-" : "") + text, radix: 16) else {
            index = start
            throw failure("the whole number does not fit in 64 bits")
        }
        return .int(value)
    }
}

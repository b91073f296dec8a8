// Cuts SQL text into tokens the way SQLite's own tokenizer does. It finds out what pragmas do not
// tell, and it is the first check of expressions that come from peers.

/// One token of SQL; comments and white space are none.
struct SQLToken: Hashable {
    enum Kind: Hashable {
        /// A bare identifier or keyword.
        case word
        /// A name in double quotes, back quotes or brackets.
        case quotedName
        /// Text in single quotes; SQLite takes it for a name where only a name can stand.
        case string
        case blob, number, symbol
        /// A bind parameter.
        case parameter
        /// What SQLite would refuse: an unended quote, a stray character.
        case illegal
    }

    var kind: Kind
    /// As written.
    var text: String

    /// True for the bare word `keyword`, which is given in capitals.
    func isWord(_ keyword: String) -> Bool {
        kind == .word && asciiUppercased(text) == keyword
    }

    func isSymbol(_ symbol: String) -> Bool { kind == .symbol && text == symbol }

    /// The name that the token stands for, quotes removed; nil when it cannot be a name.
    var name: String? {
        switch kind {
        case .word: return text
        case .quotedName, .string:
            guard let quote = text.first, text.utf8.count >= 2 else { return nil }
            let inner = text.dropFirst().dropLast()
            if quote == "[" { return String(inner) }
            var result = ""
            var isHeld = false
            for scalar in inner.unicodeScalars {
                isHeld = scalar == quote.unicodeScalars.first && !isHeld
                if !isHeld { result.unicodeScalars.append(scalar) }
            }
            return result
        default: return nil
        }
    }

    /// The tokens as text in one way, whatever space and comments stood between them.
    static func normalForm(_ tokens: some Sequence<SQLToken>) -> String {
        var result = ""
        var last: SQLToken?
        for token in tokens {
            if let last, !last.isSymbol("("), !last.isSymbol("."), !token.isSymbol(")"),
                !token.isSymbol(","), !token.isSymbol("."),
                !(token.isSymbol("(") && (last.kind == .word || last.kind == .quotedName))
            {
                result += " "
            }
            result += token.text
            last = token
        }
        return result
    }
}

/// A pass over SQL text.
struct SQLTokenizer {
    private let bytes: [UInt8]
    private var position = 0
    /// A comment was skipped.
    private(set) var sawComment = false

    init(_ sql: String) { bytes = Array(sql.utf8) }

    /// All tokens of `sql`. Complexity: O(n).
    static func tokens(of sql: String) -> [SQLToken] {
        var tokenizer = SQLTokenizer(sql)
        var tokens: [SQLToken] = []
        while let token = tokenizer.next() { tokens.append(token) }
        return tokens
    }

    mutating func next() -> SQLToken? {
        skipSpaceAndComments()
        guard position < bytes.count else { return nil }
        let start = position
        let kind = scan()
        return SQLToken(
            kind: kind, text: String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private func peek(_ ahead: Int = 0) -> UInt8 {
        position + ahead < bytes.count ? bytes[position + ahead] : 0
    }

    private mutating func skipSpaceAndComments() {
        while position < bytes.count {
            let byte = peek()
            if byte == 0x20 || 0x09...0x0d ~= byte && byte != 0x0b {
                position += 1
            } else if byte == UInt8(ascii: "-") && peek(1) == byte {
                sawComment = true
                while position < bytes.count, peek() != 0x0a { position += 1 }
            } else if byte == UInt8(ascii: "/") && peek(1) == UInt8(ascii: "*") {
                sawComment = true
                position += 2
                while position < bytes.count,
                    !(peek() == UInt8(ascii: "*") && peek(1) == UInt8(ascii: "/"))
                {
                    position += 1
                }
                position = min(position + 2, bytes.count)
            } else {
                return
            }
        }
    }

    private mutating func scan() -> SQLToken.Kind {
        let byte = peek()
        switch byte {
        case UInt8(ascii: "'"): return quoted(until: byte, as: .string)
        case UInt8(ascii: "\""), UInt8(ascii: "`"): return quoted(until: byte, as: .quotedName)
        case UInt8(ascii: "["): return bracketed()
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return number()
        case UInt8(ascii: ".") where isDigit(peek(1)): return number()
        case UInt8(ascii: "?"), UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "#"),
            UInt8(ascii: "$"):
            position += 1
            skipIdentifier()
            return .parameter
        case UInt8(ascii: "x"), UInt8(ascii: "X"):
            if peek(1) == UInt8(ascii: "'") {
                position += 1
                return quoted(until: UInt8(ascii: "'"), as: .blob)
            }
            skipIdentifier()
            return .word
        default:
            if isIdentifier(byte) {
                skipIdentifier()
                return .word
            }
            return symbol()
        }
    }

    private mutating func quoted(until quote: UInt8, as kind: SQLToken.Kind) -> SQLToken.Kind {
        position += 1
        while position < bytes.count {
            if peek() == quote {
                guard peek(1) == quote else {
                    position += 1
                    return kind
                }
                position += 1
            }
            position += 1
        }
        return .illegal
    }

    private mutating func bracketed() -> SQLToken.Kind {
        while position < bytes.count, peek() != UInt8(ascii: "]") { position += 1 }
        guard position < bytes.count else { return .illegal }
        position += 1
        return .quotedName
    }

    private mutating func number() -> SQLToken.Kind {
        let isHex = peek() == UInt8(ascii: "0") && peek(1) | 0x20 == UInt8(ascii: "x")
        var previous: UInt8 = 0
        while position < bytes.count {
            let byte = peek()
            let isExponentSign =
                !isHex && previous | 0x20 == UInt8(ascii: "e")
                && (byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"))
            guard isIdentifier(byte) || byte == UInt8(ascii: ".") || isExponentSign else { break }
            previous = byte
            position += 1
        }
        return .number
    }

    private mutating func symbol() -> SQLToken.Kind {
        for candidate in ["->>", "->", "==", "<=", "<>", "<<", ">=", ">>", "!=", "||"]
        where bytes[position...].starts(with: candidate.utf8) {
            position += candidate.utf8.count
            return .symbol
        }
        let isKnown = "+-*/%=<>&|~(),;.".utf8.contains(peek())
        position += 1
        return isKnown ? .symbol : .illegal
    }

    private mutating func skipIdentifier() {
        while position < bytes.count, isIdentifier(peek()) { position += 1 }
    }

    private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

    private func isIdentifier(_ byte: UInt8) -> Bool {
        byte >= 0x80 || isDigit(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "$")
            || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
    }
}

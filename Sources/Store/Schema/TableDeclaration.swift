// Reads from the text of CREATE TABLE and CREATE INDEX what SQLite's pragmas leave out. The text is
// one that SQLite has accepted, so this is a walk over known ground and no validating parser.

/// What only the text of a CREATE TABLE statement tells.
struct TableDeclaration: Equatable {
    struct Column: Equatable {
        var collation = "BINARY"
        var notNullConflict: ConflictClause?
        var generatedSQL: String?
    }

    struct Unique: Equatable {
        var columns: [String]
        var conflict: ConflictClause?
    }

    /// By folded name.
    var columns: [[UInt8]: Column] = [:]
    var primaryKeyConflict: ConflictClause?
    var isAutoincrement = false
    var uniques: [Unique] = []
    var checks: [String] = []
    /// Per foreign key in the order of declaration: is it checked at COMMIT?
    var deferrals: [Bool] = []

    init(sql: String) {
        var cursor = TokenCursor(SQLTokenizer.tokens(of: sql))
        while let token = cursor.peek, !token.isSymbol("(") { cursor.advance() }
        cursor.advance()
        while let token = cursor.peek, !token.isSymbol(")") {
            if token.isSymbol(",") {
                cursor.advance()
            } else if Self.constraintWords.contains(where: token.isWord) {
                readTableConstraint(&cursor)
            } else {
                readColumn(&cursor)
            }
        }
    }

    /// Reserved words: unquoted, no column can have such a name.
    private static let constraintWords = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"]

    private mutating func readTableConstraint(_ cursor: inout TokenCursor) {
        if cursor.take("CONSTRAINT") {
            cursor.advance()
        } else if cursor.take("PRIMARY") {
            _ = cursor.take("KEY")
            isAutoincrement =
                cursor.group().contains { $0.isWord("AUTOINCREMENT") } || isAutoincrement
            primaryKeyConflict = cursor.conflict() ?? primaryKeyConflict
        } else if cursor.take("UNIQUE") {
            let columns = TokenCursor.items(of: cursor.group()).compactMap { $0.first?.name }
            uniques.append(Unique(columns: columns, conflict: cursor.conflict()))
        } else if cursor.take("CHECK") {
            checks.append(SQLToken.normalForm(cursor.group()))
            _ = cursor.conflict()
        } else if cursor.take("FOREIGN") {
            _ = cursor.take("KEY")
            _ = cursor.group()
            readReference(&cursor)
        } else {
            cursor.advance()
        }
    }

    private mutating func readColumn(_ cursor: inout TokenCursor) {
        let name = cursor.peek?.name ?? ""
        var column = Column()
        cursor.advance()
        while let token = cursor.peek, !token.isSymbol(","), !token.isSymbol(")") {
            readColumnPart(token, of: name, into: &column, &cursor)
        }
        columns[foldedName(name)] = column
    }

    private mutating func readColumnPart(
        _ token: SQLToken, of name: String, into column: inout Column,
        _ cursor: inout TokenCursor
    ) {
        if token.isWord("REFERENCES") {
            readReference(&cursor)
        } else if token.isSymbol("(") {
            _ = cursor.group()
        } else if cursor.take("CONSTRAINT") || cursor.take("DEFAULT") {
            // A signed number, a literal or a name; an expression in parentheses comes as a group.
            if cursor.peek?.isSymbol("(") != true {
                if cursor.peek?.isSymbol("-") == true || cursor.peek?.isSymbol("+") == true {
                    cursor.advance()
                }
                cursor.advance()
            }
        } else if cursor.take("PRIMARY") {
            _ = cursor.take("KEY") && (cursor.take("ASC") || cursor.take("DESC"))
            primaryKeyConflict = cursor.conflict() ?? primaryKeyConflict
            isAutoincrement = cursor.take("AUTOINCREMENT") || isAutoincrement
        } else if cursor.take("NOT") {
            _ = cursor.take("NULL")
            column.notNullConflict = cursor.conflict() ?? column.notNullConflict
        } else if cursor.take("NULL") {
            _ = cursor.conflict()
        } else if cursor.take("UNIQUE") {
            uniques.append(Unique(columns: [name], conflict: cursor.conflict()))
        } else if cursor.take("CHECK") {
            checks.append(SQLToken.normalForm(cursor.group()))
        } else if cursor.take("COLLATE") {
            column.collation = normalCollation(cursor.peek?.name ?? "")
            cursor.advance()
        } else if cursor.take("AS") {
            column.generatedSQL = SQLToken.normalForm(cursor.group())
        } else {
            cursor.advance()
        }
    }

    private mutating func readReference(_ cursor: inout TokenCursor) {
        var isDeferred = false
        cursor.advance()
        cursor.advance()
        if cursor.peek?.isSymbol("(") == true { _ = cursor.group() }
        while cursor.peek != nil {
            if cursor.take("ON") {
                cursor.advance()
                // SET NULL, SET DEFAULT and NO ACTION are two words.
                if cursor.peek?.isWord("SET") == true || cursor.peek?.isWord("NO") == true {
                    cursor.advance()
                }
                cursor.advance()
            } else if cursor.take("MATCH") {
                cursor.advance()
            } else if cursor.isNext("NOT", "DEFERRABLE") {
                cursor.advance()
                _ = readDeferral(&cursor)
                isDeferred = false
            } else if cursor.peek?.isWord("DEFERRABLE") == true {
                isDeferred = readDeferral(&cursor)
            } else {
                break
            }
        }
        deferrals.append(isDeferred)
    }

    private func readDeferral(_ cursor: inout TokenCursor) -> Bool {
        cursor.advance()
        guard cursor.take("INITIALLY") else { return false }
        let isDeferred = cursor.peek?.isWord("DEFERRED") == true
        cursor.advance()
        return isDeferred
    }
}

/// What only the text of a CREATE INDEX statement tells.
struct IndexDeclaration: Equatable {
    /// Per indexed column its expression, collation and direction removed.
    var expressions: [String] = []
    var partialSQL: String?

    init(sql: String) {
        var cursor = TokenCursor(SQLTokenizer.tokens(of: sql))
        while let token = cursor.peek, !token.isWord("ON") { cursor.advance() }
        cursor.advance()
        cursor.advance()
        for var item in TokenCursor.items(of: cursor.group()) {
            if item.last?.isWord("ASC") == true || item.last?.isWord("DESC") == true {
                item.removeLast()
            }
            if item.count > 2, item[item.count - 2].isWord("COLLATE") { item.removeLast(2) }
            expressions.append(SQLToken.normalForm(TokenCursor.unwrapped(item)))
        }
        if cursor.take("WHERE") { partialSQL = SQLToken.normalForm(cursor.rest()) }
    }
}

/// A place in a list of tokens.
struct TokenCursor {
    private let tokens: [SQLToken]
    private var position = 0

    init(_ tokens: [SQLToken]) { self.tokens = tokens }

    var peek: SQLToken? { position < tokens.count ? tokens[position] : nil }

    mutating func advance() { position += 1 }

    /// True, and past it, when the bare word `keyword` comes next.
    mutating func take(_ keyword: String) -> Bool {
        guard peek?.isWord(keyword) == true else { return false }
        position += 1
        return true
    }

    func isNext(_ first: String, _ second: String) -> Bool {
        peek?.isWord(first) == true && position + 1 < tokens.count
            && tokens[position + 1].isWord(second)
    }

    mutating func rest() -> [SQLToken] {
        defer { position = tokens.count }
        return Array(tokens.dropFirst(position))
    }

    /// The tokens inside the parentheses that come next; the cursor ends after them.
    mutating func group() -> [SQLToken] {
        guard peek?.isSymbol("(") == true else { return [] }
        var inner: [SQLToken] = []
        var depth = 0
        while let token = peek {
            position += 1
            if token.isSymbol(")") { depth -= 1 }
            if depth == 0 && token.isSymbol(")") { break }
            if depth > 0 { inner.append(token) }
            if token.isSymbol("(") { depth += 1 }
        }
        return inner
    }

    /// An `ON CONFLICT` clause, if one comes next.
    mutating func conflict() -> ConflictClause? {
        guard isNext("ON", "CONFLICT") else { return nil }
        position += 2
        defer { position += 1 }
        return peek.flatMap { ConflictClause(rawValue: asciiUppercased($0.text)) }
    }

    /// `tokens` without parentheses around all of them.
    static func unwrapped(_ tokens: [SQLToken]) -> [SQLToken] {
        var cursor = TokenCursor(tokens)
        let inner = cursor.group()
        return inner.isEmpty || cursor.peek != nil ? tokens : unwrapped(inner)
    }

    /// `tokens` cut at the commas outside parentheses.
    static func items(of tokens: [SQLToken]) -> [[SQLToken]] {
        var items: [[SQLToken]] = [[]]
        var depth = 0
        for token in tokens {
            if token.isSymbol("(") { depth += 1 }
            if token.isSymbol(")") { depth -= 1 }
            if depth == 0 && token.isSymbol(",") {
                items.append([])
            } else {
                items[items.count - 1].append(token)
            }
        }
        return items
    }
}

// Judges the parts of a table's structure that a peer sent: names, types, expressions. What passes
// can be put into a CREATE statement without becoming anything else.

internal import SQLite

/// The checks before a description becomes SQL.
enum StructureGuard {
    /// A name that may be given to a table or an index here.
    ///
    /// - Throws: ``SchemaError`` for names that are reserved, empty, too long, or have a NUL.
    static func checkNewName(_ name: String) throws {
        try checkName(name)
        let folded = asciiLowercased(name)
        guard !folded.hasPrefix("sqlite_"), !folded.hasPrefix("_starling_") else {
            throw SchemaError(
                .name, "the name \(shown(name)) is reserved: rename the table or index")
        }
    }

    static func checkName(_ name: String) throws {
        guard !name.isEmpty, !name.utf8.contains(0), name.utf8.count <= SchemaLimits.nameBytesMax
        else {
            throw SchemaError(
                .name,
                "a name is empty, has a NUL, or is longer than \(SchemaLimits.nameBytesMax) bytes")
        }
    }

    /// A declared type: words, then at most two numbers in parentheses.
    static func checkType(_ type: String) throws {
        let failure = SchemaError(
            .type,
            "a declared type is not plain words with numbers: give the column a simple type",
            detail: type)
        guard type.utf8.count <= SchemaLimits.typeBytesMax else { throw failure }
        var tokens = SQLTokenizer.tokens(of: type)
        // A comment is no token, and it would swallow what follows the type.
        guard SQLToken.normalForm(tokens) == type else { throw failure }
        if tokens.last?.isSymbol(")") == true {
            guard let open = tokens.lastIndex(where: { $0.isSymbol("(") }) else { throw failure }
            let inside = TokenCursor.items(of: Array(tokens[(open + 1)..<(tokens.count - 1)]))
            guard inside.count <= 2, inside.allSatisfy(isSignedNumber) else { throw failure }
            tokens.removeSubrange(open...)
            guard !tokens.isEmpty else { throw failure }
        }
        for token in tokens {
            let word = asciiUppercased(token.text)
            guard token.kind == .word, !refusedInTypes.contains(word), !refused.contains(word),
                token.text.utf8.allSatisfy({ $0 < 0x80 })
            else { throw failure }
        }
    }

    private static func isSignedNumber(_ tokens: [SQLToken]) -> Bool {
        switch tokens.count {
        case 1: tokens[0].kind == .number
        case 2:
            tokens[1].kind == .number && (tokens[0].isSymbol("-") || tokens[0].isSymbol("+"))
        default: false
        }
    }

    static func checkCollation(_ name: String) throws {
        guard ["BINARY", "NOCASE", "RTRIM"].contains(name) else {
            throw SchemaError(
                .collation,
                "the collation \(shown(name)) is not built into SQLite: use BINARY, NOCASE or RTRIM"
            )
        }
    }

    /// An expression of DEFAULT, CHECK, a generated column, or an index.
    ///
    /// It may name columns, literals, operators and the functions that come with SQLite. It is
    /// returned as it is, to be put between parentheses.
    static func checkedExpression(_ sql: String) throws -> String {
        func failure(_ why: String) -> SchemaError {
            SchemaError(
                .expression,
                "an expression of the table \(why): simplify it, or create the table on"
                    + " this machine by hand", detail: sql)
        }
        guard sql.utf8.count <= SchemaLimits.expressionBytesMax else {
            throw failure("is longer than \(SchemaLimits.expressionBytesMax) bytes")
        }
        var tokenizer = SQLTokenizer(sql)
        var depth = 0
        var previous: SQLToken?
        while let token = tokenizer.next() {
            switch token.kind {
            case .illegal: throw failure("is not valid SQL")
            case .parameter: throw failure("has a bind parameter")
            case .word, .quotedName, .string, .blob, .number: break
            case .symbol:
                if token.text == ";" { throw failure("has a semicolon") }
                if token.text == ")" { depth -= 1 }
                if token.text == "(" {
                    depth += 1
                    if let previous, !mayPrecedeParenthesis(previous) {
                        throw failure("calls \(shown(previous.text)), which is not allowed")
                    }
                }
                guard 0...SchemaLimits.expressionDepthMax ~= depth else {
                    throw failure("has unbalanced or too many parentheses")
                }
            }
            if token.kind == .word, refused.contains(asciiUppercased(token.text)) {
                throw failure("has the word \(token.text)")
            }
            previous = token
        }
        guard previous != nil else { throw failure("is empty") }
        guard depth == 0 else { throw failure("has unbalanced parentheses") }
        guard !tokenizer.sawComment, !sql.utf8.contains(0) else {
            throw failure("has a comment or a NUL")
        }
        return sql
    }

    /// What stands before "(" is a function that is allowed, or no function at all.
    private static func mayPrecedeParenthesis(_ token: SQLToken) -> Bool {
        switch token.kind {
        case .symbol: return true
        case .word, .quotedName:
            let name = token.name ?? ""
            if token.kind == .word, operators.contains(asciiUppercased(name)) { return true }
            return functions.contains(asciiLowercased(name))
        default: return false
        }
    }

    /// Names are shown in messages, cut to a length that fits a log line.
    static func shown(_ name: String) -> String {
        let scalars = name.unicodeScalars.prefix(64).map { $0.value < 0x20 ? "?" : String($0) }
        return "'\(scalars.joined())'"
    }

    /// Words that begin statements and subqueries, or need a function that SQLite does not have.
    private static let refused: Set<String> = [
        "SELECT", "VALUES", "WITH", "PRAGMA", "ATTACH", "DETACH", "INSERT", "UPDATE", "DELETE",
        "CREATE", "DROP", "ALTER", "VACUUM", "REINDEX", "RAISE", "EXPLAIN", "COMMIT",
        "TRANSACTION", "TRIGGER", "EXISTS", "UNION", "INTERSECT", "EXCEPT", "OVER", "MATCH",
        "REGEXP", "LOAD_EXTENSION",
    ]

    /// Words that would end a type and begin a constraint.
    private static let refusedInTypes: Set<String> = [
        "CONSTRAINT", "PRIMARY", "KEY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE",
        "REFERENCES", "GENERATED", "ALWAYS", "AS", "ON", "DEFERRABLE", "FOREIGN", "AUTOINCREMENT",
        "CONFLICT", "INITIALLY",
    ]

    private static let operators: Set<String> = [
        "AND", "OR", "NOT", "IN", "IS", "LIKE", "GLOB", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE",
        "ESCAPE", "FROM", "DISTINCT", "CAST",
    ]

    /// Functions that come with SQLite, touch nothing outside the row, and cost little.
    static let functions: Set<String> = [
        "abs", "char", "coalesce", "concat", "concat_ws", "date", "datetime", "format", "glob",
        "hex", "ifnull", "iif", "instr", "json", "json_array", "json_array_length", "json_extract",
        "json_insert", "json_object", "json_patch", "json_quote", "json_remove", "json_replace",
        "json_set", "json_type", "json_valid", "julianday", "length", "like", "likelihood",
        "likely", "lower", "ltrim", "max", "min", "nullif", "octet_length", "printf", "quote",
        "random", "randomblob", "replace", "round", "rtrim", "sign", "strftime", "substr",
        "substring", "time", "timediff", "trim", "typeof", "unhex", "unicode", "unixepoch",
        "unlikely", "upper", "acos", "asin", "atan", "atan2", "ceil", "ceiling", "cos", "degrees",
        "exp", "floor", "ln", "log", "log10", "log2", "mod", "pi", "pow", "power", "radians",
        "sin", "sqrt", "tan", "trunc", "current_timestamp", "current_date", "current_time", "->",
        "->>",
    ]
}

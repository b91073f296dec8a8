// The rows that are measured with: random, the same for one seed, and about as compressible as what
// people type.

internal import SQLite
internal import Values

/// SplitMix64 (Steele, Lea, Flood 2014); not for secrets.
struct BenchGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// Makes rows of `tasks`.
struct BenchRows {
    static let createTable = """
        CREATE TABLE tasks(
            id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL DEFAULT '',
            done INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0,
            updated_at INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '')
        """
    static let insert = """
        INSERT INTO tasks(id, title, done, priority, updated_at, notes)
        VALUES(?1, ?2, ?3, ?4, ?5, ?6)
        """

    private static let wordCount = 4096
    private static let titleBytes = 40
    private static let notesBytes = 100
    private static let firstMilliseconds: Int64 = 1_700_000_000_000

    private var generator: BenchGenerator
    /// Drawn from random letters, so that only whole words repeat.
    private let words: [[UInt8]]

    init(seed: UInt64) {
        var generator = BenchGenerator(seed: seed)
        words = (0..<Self.wordCount).map { _ in
            (0..<3 + generator.below(7)).map { _ in
                UInt8(ascii: "a") + UInt8(generator.below(26))
            }
        }
        self.generator = generator
    }

    mutating func next() -> [Value] {
        [
            .text(uuid()), .text(text(around: Self.titleBytes)),
            .integer(Int64(generator.below(2))), .integer(Int64(generator.below(5))),
            .integer(Self.firstMilliseconds + Int64(generator.below(1 << 36))),
            .text(text(around: Self.notesBytes)),
        ]
    }

    mutating func next(_ count: Int) -> [[Value]] { (0..<count).map { _ in next() } }

    /// Words up to `length` bytes, give or take a tenth.
    private mutating func text(around length: Int) -> [UInt8] {
        let wanted = length * 9 / 10 + generator.below(length / 5)
        var text: [UInt8] = []
        text.reserveCapacity(length + 16)
        while text.count < wanted {
            if !text.isEmpty { text.append(0x20) }
            text += words[generator.below(words.count)]
        }
        return text
    }

    /// Version 4 of RFC 9562, as text.
    private mutating func uuid() -> [UInt8] {
        let high = generator.next() & ~0xf000 | 0x4000
        let low = generator.next() >> 2 | 1 << 63
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for (index, word) in [high, low].enumerated() {
            for digit in 0..<16 {
                if [8, 12, 16, 20].contains(index * 16 + digit) { text.append(0x2d) }
                let nibble = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * digit)) & 15
                text.append(nibble < 10 ? 0x30 + nibble : 0x57 + nibble)
            }
        }
        return text
    }
}

/// What an app does: plain SQL through the C API on a connection of its own.
struct BenchApp {
    static let rowsPerTransaction = 1000

    let connection: Connection

    /// Opens `path` as most apps do: WAL, synchronous NORMAL.
    init(_ path: String) throws {
        connection = try Connection(path: path, busyTimeoutMilliseconds: 10_000)
        try connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
    }

    /// Inserts `rows`, a thousand in a transaction. Returns seconds.
    func insert(
        _ rows: some Collection<[Value]>, perTransaction: Int = Self.rowsPerTransaction
    ) throws -> Double {
        try each(rows, perTransaction: perTransaction, try connection.prepare(BenchRows.insert)) {
            try $0.bind($1)
        }
    }

    /// Gives one column of every row a new value, by key. Returns seconds.
    func update(_ rows: some Collection<[Value]>, priority: Int64) throws -> Double {
        let statement = try connection.prepare("UPDATE tasks SET priority = ?1 WHERE id = ?2")
        return try each(rows, perTransaction: Self.rowsPerTransaction, statement) {
            try $0.bind(priority, at: 1)
            try $0.bind($1[0], at: 2)
        }
    }

    private func each(
        _ rows: some Collection<[Value]>, perTransaction: Int, _ statement: Statement,
        _ bind: (Statement, [Value]) throws -> Void
    ) throws -> Double {
        let begin = try connection.prepare("BEGIN IMMEDIATE")
        let commit = try connection.prepare("COMMIT")
        return try Stopwatch.seconds {
            var inTransaction = 0
            for row in rows {
                if inTransaction == 0 { try begin.run() }
                try bind(statement, row)
                try statement.run()
                inTransaction += 1
                if inTransaction == perTransaction {
                    try commit.run()
                    inTransaction = 0
                }
            }
            if inTransaction > 0 { try commit.run() }
        }
    }

    /// Bytes of the file after its log is moved into it.
    func fileBytes() throws -> Int64 {
        _ = try connection.query("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path.size(of: connection.path)
    }
}

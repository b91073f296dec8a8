// What two nodes do together over TCP: real processes on this machine, watched through connections
// to their files as any app has them.

internal import SQLite
internal import Store
internal import Values

/// A connection to a node's file that watches what becomes visible.
struct BenchWatcher {
    let connection: Connection
    private let seen: Statement
    private let priority: Statement
    private let version: Statement

    init(_ path: String) throws {
        connection = try Connection(path: path, busyTimeoutMilliseconds: 10_000)
        try connection.execute("PRAGMA synchronous = NORMAL")
        seen = try connection.prepare("SELECT sum(seen) FROM _starling_origin")
        priority = try connection.prepare("SELECT priority FROM tasks WHERE id = ?1")
        version = try connection.prepare("PRAGMA data_version")
    }

    /// Changes that the file's vector covers.
    func changes() throws -> Int64 { try number(seen) }

    /// Moves when another connection commits.
    func dataVersion() throws -> Int64 { try number(version) }

    func priority(of key: Value) throws -> Int64 {
        priority.reset()
        try priority.bind(key, at: 1)
        return try number(priority)
    }

    private func number(_ statement: Statement) throws -> Int64 {
        statement.reset()
        defer { statement.reset() }
        return try statement.step() ? statement.int(0) : 0
    }
}

extension Bench {
    private static let differingRows = 100
    private static let rounds = 7
    /// Rows of the table of members, which are numbered like any other.
    private static let memberRows: Int64 = 2
    private static let latencySamples = 300
    /// How exactly a time to sight is measured; it counts against the nodes.
    private static let lookMicroseconds = 100
    /// A node that nothing was asked of for so long has given back what it does not need.
    private static let quietMilliseconds = 6_000
    /// Below this the copy of ten times the rows says nothing about memory.
    private static let memoryRowsMin = BenchOptions.rowsDefault

    func measureNodes() throws {
        let source = BenchFile(
            path: "\(folder)/source/data.db", home: Home(path: "\(folder)/source"))
        let target = try emptyNode("target", memberOf: source)
        try measureExchange(source, target)
        try measureLatency(source, target)
        if options.rows >= Self.memoryRowsMin { try measureMemory() }
    }

    func start(_ file: BenchFile, listen: String, peer: HostPort? = nil) throws -> BenchChild {
        guard let home = file.home else { throw NodeError(.failed, "a plain file has no node") }
        return try BenchChild(executable: executable, home: home, listen: listen, peer: peer)
    }

    // MARK: Catch-up, and a small difference

    private func measureExchange(_ source: BenchFile, _ target: BenchFile) throws {
        try step("Catching up", 0, of: 1)
        // Each listens on an address of its own, so that neither can dial around the cable.
        let left = try start(source, listen: "127.0.0.3:0")
        let cable = try BenchForwarder(to: try left.address())
        let right = try start(target, listen: "127.0.0.2:0", peer: cable.address)
        defer {
            cable.stop()
            right.stop()
            left.stop()
        }
        let total = Int64(options.rows) + Self.memberRows
        _ = try right.address()
        let watcher = try Connection(path: target.path, busyTimeoutMilliseconds: 10_000)
        let seen = try watcher.prepare("SELECT sum(seen) FROM _starling_origin")
        try wait(for: "the copy of \(total) rows") {
            seen.reset()
            defer { seen.reset() }
            return try seen.step() && seen.int(0) >= total
        }
        let end = Stopwatch.now()
        let begin = cable.traffic.acceptedAt ?? end
        try compare(left, right)
        let rate = Double(total) / (Double(max(1, end - begin)) / 1e9)
        add(
            BenchFigure(
                id: "catch_up",
                what: "catch-up of an empty node through TCP, rows/s against plain insert rows/s",
                unit: .ratio,
                parts: [.init(name: "ratio", value: rate / plainRate, goal: 0.45)],
                isMoreBetter: true,
                others: "cr-sqlite 0.15, sqlite-sync 0.11, iroh-docs 0.02",
                note: "\(BenchFigure.fixed(rate, places: 0)) rows/s"))
        try measureDifference((left, source), (right, target), cable)
    }

    private func compare(_ left: BenchChild, _ right: BenchChild) throws {
        try left.waitUntilSynced()
        let digests = try (left.ask("digest")["digest"], right.ask("digest")["digest"])
        guard digests.0 == digests.1 else {
            throw NodeError(.failed, "two nodes of the bench differ after an exchange")
        }
    }

    private func measureDifference(
        _ left: (node: BenchChild, file: BenchFile), _ right: (node: BenchChild, file: BenchFile),
        _ cable: BenchForwarder
    ) throws {
        let watchers = try (BenchWatcher(left.file.path), BenchWatcher(right.file.path))
        let keys = try someKeys(2 * Self.differingRows, of: left.file)
        var milliseconds: [Double] = []
        var bytes: [Double] = []
        for round in 0..<Self.rounds {
            try step("Exchanging a small difference", round, of: Self.rounds)
            let mine = Array(keys.prefix(keys.count / 2))
            let theirs = Array(keys.suffix(keys.count - mine.count))
            guard let last = (mine.last, theirs.last) as? (Value, Value) else { return }
            cable.cut()
            let priority = Int64(1000 + round)
            try change(mine, to: priority, watchers.0)
            try change(theirs, to: priority, watchers.1)
            cable.mend()
            let nudge = try right.node.nudge()
            try wait(for: "a small difference", napMicroseconds: Self.lookMicroseconds) {
                try watchers.0.priority(of: last.1) == priority
                    && watchers.1.priority(of: last.0) == priority
            }
            let end = Stopwatch.now()
            milliseconds.append(Double(end - (cable.traffic.acceptedAt ?? end)) / 1e6)
            try wait(for: "silence on the cable") {
                Stopwatch.now() - cable.traffic.lastByteAt > 300_000_000
            }
            bytes.append(Double(cable.traffic.bytes))
            _ = nudge.number
        }
        try compare(left.node, right.node)
        addDifference(milliseconds, bytes)
    }

    /// Changes rows on one side and waits until its node has numbered them and made them durable.
    private func change(_ keys: [Value], to priority: Int64, _ watcher: BenchWatcher) throws {
        let before = try watcher.changes()
        try watcher.connection.transaction {
            for key in keys {
                try watcher.connection.run(
                    "UPDATE tasks SET priority = ?1 WHERE id = ?2", [.integer(priority), key])
            }
        }
        try wait(for: "a node to number changes") {
            try watcher.changes() >= before + Int64(keys.count)
        }
        Stopwatch.sleep(milliseconds: 50)
    }

    private func addDifference(_ milliseconds: [Double], _ bytes: [Double]) {
        let changed = "one column of 100 rows changed on each side of \(options.rows)"
        add(
            BenchFigure(
                id: "difference_bytes", what: "\(changed): bytes both ways", unit: .bytes,
                parts: [.init(name: "bytes", value: bytes.median, goal: 9000)],
                others: "22.7 KB, 9.1 KB, Automerge 6.4 KB, iroh-docs 319 KB"))
        // Both sides made their changes durable while the cable was cut, and what is received is
        // visible before it is flushed: there is no file sync in this path to subtract.
        add(
            BenchFigure(
                id: "difference_time", what: "the same: time, in which there is no file sync",
                unit: .milliseconds,
                parts: [.init(name: "median", value: milliseconds.median, goal: 10)],
                others: "4 ms, 2 ms (in one process), Syncthing 715 ms, iroh-docs 838 ms"))
    }

    private func someKeys(_ count: Int, of file: BenchFile) throws -> [Value] {
        let connection = try Connection(path: file.path, busyTimeoutMilliseconds: 10_000)
        var generator = BenchGenerator(seed: Self.seed)
        let total = min(count, options.rows)
        let step = max(1, options.rows / total)
        return try (0..<total).compactMap { index in
            let row = min(options.rows, index * step + generator.below(step) + 1)
            return try connection.first(
                "SELECT id FROM tasks WHERE rowid = ?1", [.integer(Int64(row))])
        }
    }

    // MARK: Latency and idle memory

    private func measureLatency(_ source: BenchFile, _ target: BenchFile) throws {
        try step("Waiting for idle nodes", 0, of: 1)
        let left = try start(source, listen: "127.0.0.3:0")
        let right = try start(target, listen: "127.0.0.2:0", peer: try left.address())
        defer {
            right.stop()
            left.stop()
        }
        let watchers = try (BenchWatcher(source.path), BenchWatcher(target.path))
        let keys = try someKeys(Self.latencySamples, of: source)
        var generator = BenchGenerator(seed: Self.seed + 1)
        // The link must stand before the first sample; the first change proves that it does.
        _ = try latency(keys[0], 5000, watchers)
        Stopwatch.sleep(milliseconds: Self.quietMilliseconds)
        idleBytes = max(try left.memory().now, try right.memory().now)
        ownBytes = max(try left.memory().own, try right.memory().own)
        var samples: [Double] = []
        for number in 0..<Self.latencySamples {
            if number % 50 == 0 {
                try step("Measuring latency", number, of: Self.latencySamples, unit: "commits")
            }
            samples.append(
                try latency(keys[number % keys.count], Int64(5001 + number), watchers))
            Stopwatch.sleep(milliseconds: 5 + generator.below(15))
        }
        let beyond = samples.map { $0 - 2 * syncMilliseconds }
        let raw = [samples.median, samples.percentile(0.99)]
            .map { BenchFigure.fixed($0, places: 1) }.joined(separator: " / ")
        add(
            BenchFigure(
                id: "latency",
                what:
                    "commit by an app on one node → visible on another, p50 / p99 beyond two file "
                    + "syncs",
                unit: .milliseconds,
                parts: [
                    .init(name: "p50", value: beyond.median, goal: 2),
                    .init(name: "p99", value: beyond.percentile(0.99), goal: 10),
                ],
                others: "Syncthing 1,000 ms, iroh-docs 0.9 / 9 ms, PostgreSQL 0.3–1.1 / 0.7–9 ms",
                note: "\(raw) with them"))
    }

    /// Milliseconds from the end of an app's COMMIT on one side to its sight on the other.
    private func latency(
        _ key: Value, _ priority: Int64, _ watchers: (BenchWatcher, BenchWatcher)
    ) throws -> Double {
        try watchers.0.connection.run(
            "UPDATE tasks SET priority = ?1 WHERE id = ?2", [.integer(priority), key])
        let begin = Stopwatch.now()
        var version = try watchers.1.dataVersion() - 1
        try wait(
            for: "a change on the other node", seconds: 30, napMicroseconds: Self.lookMicroseconds
        ) {
            let now = try watchers.1.dataVersion()
            guard now != version else { return false }
            version = now
            return try watchers.1.priority(of: key) == priority
        }
        return Double(Stopwatch.now() - begin) / 1e6
    }

    // MARK: Memory

    /// Ten times the rows from one node to another, and the most memory that either took.
    private func measureMemory() throws {
        let count = 10 * options.rows
        let source = try trackedFile("large")
        let app = try BenchApp(source.path)
        for done in stride(from: 0, to: count, by: count / 20) {
            try step("Preparing the large copy", done, of: count, unit: "rows")
            _ = try app.insert(rows.next(count / 20))
        }
        _ = try fold(source)
        let target = try emptyNode("copy", memberOf: source)
        let left = try start(source, listen: "127.0.0.3:0")
        let right = try start(target, listen: "127.0.0.2:0", peer: try left.address())
        defer {
            right.stop()
            left.stop()
        }
        _ = try right.address()
        let watcher = try Connection(path: target.path, busyTimeoutMilliseconds: 10_000)
        let seen = try watcher.prepare("SELECT sum(seen) FROM _starling_origin")
        var polls = 0
        try wait(for: "the large copy", seconds: 300, napMicroseconds: 20_000) {
            polls += 1
            if polls % 50 == 0 { try step("Copying \(count) rows", 0, of: 1) }
            seen.reset()
            defer { seen.reset() }
            return try seen.step() && seen.int(0) >= Int64(count) + Self.memberRows
        }
        busyBytes = (try left.memory().peak, try right.memory().peak)
    }

    func addMemory() {
        var parts: [BenchFigure.Part] = []
        if let idleBytes {
            parts.append(.init(name: "idle", value: Double(idleBytes) / 1e6, goal: 25))
        }
        var note: String?
        if let busyBytes {
            let peak = max(busyBytes.sender, busyBytes.receiver)
            parts.append(.init(name: "copying", value: Double(peak) / 1e6, goal: 80))
            let own = ownBytes.map { "of the idle \(megabytes($0)) its own; " } ?? ""
            note =
                own + "sender \(megabytes(busyBytes.sender)), receiver "
                + "\(megabytes(busyBytes.receiver))"
        }
        add(
            BenchFigure(
                id: "memory",
                what: busyBytes == nil
                    ? "memory of a node: idle (too few rows for a large copy)"
                    : "memory of a node: idle / while copying \(10 * options.rows) rows",
                unit: .megabytes, parts: parts,
                others: "Syncthing 54 MB, iroh-docs 88 / 542 MB", note: note))
    }

    private func megabytes(_ bytes: Int64) -> String {
        BenchFigure.fixed(Double(bytes) / 1e6, places: 0)
    }
}

// What capture costs an app, how fast entries are folded, and how large the file becomes: all
// beside the same statements on a file that nobody captures.

internal import SQLite
internal import Store
internal import Values

/// A file with the table of the bench, tracked or not.
struct BenchFile {
    let path: String
    /// nil for a plain file.
    let home: Home?
}

extension Bench {
    private static let runs = 3
    private static let singleTransactions = 2000

    func plainFile(_ name: String) throws -> BenchFile {
        let path = "\(folder)/\(name).db"
        try BenchApp(path).connection.execute(BenchRows.createTable)
        return BenchFile(path: path, home: nil)
    }

    /// A node's home and file with the table tracked; no node runs.
    func trackedFile(_ name: String) throws -> BenchFile {
        let file = try emptyNode(name)
        try BenchApp(file.path).connection.execute(BenchRows.createTable)
        try withContext(file) {
            let reports = try $0.replica.track(["tasks"])
            guard reports.allSatisfy(\.isTracked) else {
                throw NodeError(.failed, "the table of the bench was refused")
            }
            try $0.replica.finishScans()
        }
        return file
    }

    /// - Parameter other: a node that does not run and lets this one in.
    func emptyNode(_ name: String, memberOf other: BenchFile? = nil) throws -> BenchFile {
        let home = Home(path: "\(folder)/\(name)")
        let options = InitializeOptions(home: home, database: nil, name: name, group: nil)
        if let other {
            _ = try NodeCommands.introduce(options) { arguments in
                var answer: JSONValue = [:]
                try withContext(other) { answer = try $0.addMember(arguments) }
                return answer
            }
        } else {
            _ = try NodeCommands.initialize(options)
        }
        return BenchFile(path: "\(home.path)/data.db", home: home)
    }

    private func withContext(_ file: BenchFile, _ body: (NodeContext) throws -> Void) throws {
        guard let home = file.home else { return }
        let context = try NodeContext(home: home, pid: BenchMachine.ownPid)
        try body(context)
        try context.close()
    }

    /// Folds what waits in the file. Returns seconds.
    func fold(_ file: BenchFile) throws -> Double {
        var seconds = 0.0
        try withContext(file) { context in
            seconds = try Stopwatch.seconds { try context.replica.fold() }
        }
        return seconds
    }

    // MARK: The figures

    /// Leaves the file `source` with all rows, folded, for the nodes.
    func measureWriting() throws {
        let content = rows.next(options.rows)
        var files: [(plain: BenchFile, tracked: BenchFile)] = []
        var plain: [Double] = []
        var captured: [Double] = []
        var folding: [Double] = []
        for run in 0..<Self.runs {
            try step("Inserting", run, of: Self.runs)
            let pair = (try plainFile("plain\(run)"), try trackedFile(name(run)))
            plain.append(try BenchApp(pair.0.path).insert(content))
            captured.append(try BenchApp(pair.1.path).insert(content))
            folding.append(try fold(pair.1))
            files.append(pair)
        }
        plainRate = Double(options.rows) / plain.median
        let bytes = try (
            BenchApp(files[0].plain.path).fileBytes(), BenchApp(files[0].tracked.path).fileBytes()
        )
        addBase()
        add(
            BenchFigure(
                id: "insert_captured", what: "bulk insert with capture, time against plain",
                unit: .ratio,
                parts: [.init(name: "ratio", value: captured.median / plain.median, goal: 1.3)],
                others: "cr-sqlite 6 ×, sqlite-sync 9 ×, SQLite's session extension 1.6 ×"))
        try measureUpdates(content, files[0].plain, files[0].tracked)
        try measureSingles(files[1].plain, files[1].tracked)
        let foldRate = Double(options.rows) / folding.median
        add(
            BenchFigure(
                id: "fold", what: "fold, rows/s against plain insert rows/s", unit: .ratio,
                parts: [.init(name: "ratio", value: foldRate / plainRate, goal: 0.5)],
                isMoreBetter: true, note: "\(BenchFigure.fixed(foldRate, places: 0)) rows/s"))
        add(
            BenchFigure(
                id: "file_size", what: "file size after fold, against plain", unit: .ratio,
                parts: [.init(name: "ratio", value: Double(bytes.1) / Double(bytes.0), goal: 1.45)],
                others: "2.2 ×, 3.4 ×, iroh-docs 5.6 ×"))
    }

    /// The last file that only saw inserts is the source of the nodes' rows.
    private func name(_ run: Int) -> String {
        run == Self.runs - 1 ? "source" : "tracked\(run)"
    }

    private func addBase() {
        add(
            BenchFigure(
                id: "plain_insert", what: "plain SQLite: inserts, 1,000 a transaction",
                unit: .rowsPerSecond, parts: [.init(name: "rate", value: plainRate)]))
        add(
            BenchFigure(
                id: "file_sync", what: "one file sync of this disk (median)", unit: .milliseconds,
                parts: [.init(name: "median", value: syncMilliseconds)]))
    }

    private func measureUpdates(
        _ content: [[Value]], _ plainFile: BenchFile, _ trackedFile: BenchFile
    ) throws {
        var plain: [Double] = []
        var captured: [Double] = []
        for run in 0..<Self.runs {
            try step("Updating", run, of: Self.runs)
            // No row has these values, so that each statement changes its row.
            let priority = Int64(100 + run)
            plain.append(try BenchApp(plainFile.path).update(content, priority: priority))
            captured.append(try BenchApp(trackedFile.path).update(content, priority: priority))
            _ = try fold(trackedFile)
        }
        add(
            BenchFigure(
                id: "update_captured", what: "update of one column, time against plain",
                unit: .ratio,
                parts: [.init(name: "ratio", value: captured.median / plain.median, goal: 1.8)],
                others: "3.2 ×, 12 ×, 2.3 ×"))
    }

    private func measureSingles(_ plainFile: BenchFile, _ trackedFile: BenchFile) throws {
        var plain: [Double] = []
        var captured: [Double] = []
        let runs = 2 * Self.runs - 1
        for run in 0..<runs {
            try step("One-row transactions", run, of: runs)
            let content = rows.next(Self.singleTransactions)
            plain.append(try BenchApp(plainFile.path).insert(content, perTransaction: 1))
            captured.append(try BenchApp(trackedFile.path).insert(content, perTransaction: 1))
            _ = try fold(trackedFile)
        }
        add(
            BenchFigure(
                id: "single_captured",
                what: "one-row transactions (synchronous NORMAL), time against plain",
                unit: .ratio,
                parts: [.init(name: "ratio", value: captured.median / plain.median, goal: 1.2)],
                others: "3.5 ×, 3.8 ×, 2.2 ×"))
    }
}

// `starling bench`: every figure beside its goal, and beside plain SQLite in the same run. This
// file has what all measurements share; each group of them is an extension in a file of its own.

internal import CPlatform
internal import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One run of the bench, in a temporary folder that goes with it.
final class Bench {
    let options: BenchOptions
    /// This program, to start nodes with.
    let executable: String
    private let progress: (JSONValue) -> Void
    let folder: String
    var rows: BenchRows
    private(set) var figures: [BenchFigure] = []
    /// The median time of one flush of this disk.
    var syncMilliseconds = 0.0
    /// Rows a second of plain inserts.
    var plainRate = 0.0
    /// Resident memory of a node, in bytes; nil where it was not measured.
    var idleBytes: Int64?
    /// Those of them that no file is behind: the rest are pages of libraries and of the program.
    var ownBytes: Int64?
    var busyBytes: (sender: Int64, receiver: Int64)?

    static let seed: UInt64 = 0x57a2_11f6
    static let rowsMax = 10_000_000

    init(
        _ options: BenchOptions, executable: String, progress: @escaping (JSONValue) -> Void
    ) throws {
        guard (1...Self.rowsMax).contains(options.rows) else {
            throw NodeError(.usage, "--rows is a number from 1 to \(Self.rowsMax)")
        }
        self.options = options
        self.executable = executable
        self.progress = progress
        folder = try Self.makeFolder()
        rows = BenchRows(seed: Self.seed)
    }

    deinit { starling_remove_tree(folder) }

    private static func makeFolder() throws -> String {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array(
            "\(Path.absolute(base, in: Path.currentFolder()))/starling-bench.XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            let error = SystemError(number: starling_errno())
            throw NodeError(.failed, error.explain("cannot make a temporary folder in \(base)"))
        }
        return String(cString: made)
    }

    /// Measures everything. Returns the table.
    func run() throws -> JSONValue {
        let syncs = try BenchMachine.fileSyncMilliseconds(in: folder, samples: 60)
        syncMilliseconds = syncs.median
        try measureWriting()
        try measureNodes()
        addMemory()
        try measureTrust()
        return [
            "rows": .int(Int64(options.rows)), "machine": .string(BenchMachine.description),
            "versions": BenchMachine.versions, "results": .array(figures.map(\.json)),
        ]
    }

    func add(_ figure: BenchFigure) { figures.append(figure) }

    /// Tells what is being done, and ends the run when a person said so.
    func step(_ what: String, _ done: Int, of total: Int, unit: String = "runs") throws {
        try BenchInterrupt.check()
        progress([
            "progress": [
                "what": .string(what), "done": .int(Int64(done)), "total": .int(Int64(total)),
                "unit": .string(unit),
            ]
        ])
    }

    /// Repeats `isDone` until it is.
    ///
    /// - Parameter napMicroseconds: between two looks. Who looks without a pause takes a core from the nodes.
    func wait(
        for what: String, seconds: Int = 120, napMicroseconds: Int = 2_000,
        until isDone: () throws -> Bool
    ) throws {
        let deadline = Stopwatch.now() + Int64(seconds) * 1_000_000_000
        while try !isDone() {
            try BenchInterrupt.check()
            guard Stopwatch.now() < deadline else {
                throw NodeError(
                    .timeout, "the bench waited \(seconds) s for \(what), which did not happen")
            }
            Stopwatch.sleep(microseconds: napMicroseconds)
        }
    }
}

/// A key press or a signal ends the bench in good order: children stopped, folder removed.
enum BenchInterrupt {
    private static let received = Atomic<Int32>(0)

    static func check() throws {
        guard received.load(ordering: .relaxed) == 0 else {
            throw NodeError(.failed, "the bench was interrupted")
        }
    }

    private static let note: @convention(c) (Int32) -> Void = {
        BenchInterrupt.received.store($0, ordering: .relaxed)
    }

    /// Runs `body` while SIGINT and SIGTERM only ask it to end; a signal that came is raised again
    /// afterwards.
    static func during<Result>(_ body: () throws -> Result) rethrows -> Result {
        let interrupt = signal(SIGINT, note)
        let terminate = signal(SIGTERM, note)
        defer {
            signal(SIGINT, interrupt)
            signal(SIGTERM, terminate)
            let number = received.exchange(0, ordering: .relaxed)
            if number != 0 { raise(number) }
        }
        return try body()
    }
}

extension NodeCommands {
    /// The program's version.
    static let programVersion = "0.1.0"

    /// `starling bench`.
    package static func bench(
        _ options: BenchOptions, _ progress: (JSONValue) -> Void
    ) throws -> JSONValue {
        try bench(options, executable: "/proc/self/exe", progress)
    }

    /// The same with another program for the nodes, for tests.
    package static func bench(
        _ options: BenchOptions, executable: String, _ progress: (JSONValue) -> Void
    ) throws -> JSONValue {
        try withoutActuallyEscaping(progress) { progress in
            try BenchInterrupt.during {
                try Bench(options, executable: executable, progress: progress).run()
            }
        }
    }
}

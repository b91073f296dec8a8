// Other programs write the captured file: the sqlite3 shell and Python's sqlite3 module, each as a
// process of its own, with nothing of Starling in it.

import Glibc
import SQLite
import Store
import TestKit
import Testing
import Values

/// A program that runs SQL statements on a file and prints one line per statement:
/// `changes|last_insert_rowid`, or `error`.
enum ForeignWriter: String, CaseIterable, Sendable {
    case shell = "sqlite3"
    case python = "python3"

    var isInstalled: Bool { system("command -v \(rawValue) >/dev/null 2>&1") == 0 }

    /// Foreign keys as in the twin, and the twin's `last_insert_rowid()`.
    private static let begin = """
        PRAGMA foreign_keys = ON; CREATE TEMP TABLE mark(v);
        INSERT INTO mark(rowid) VALUES(-987654);
        """

    /// Python reads the statements from a file in which a NUL ends each.
    private static let script = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
        connection.executescript(sys.argv[3])
        for sql in open(sys.argv[2], encoding="utf-8").read().split("\\0")[:-1]:
            try:
                connection.execute(sql)
                print("%d|%d" % connection.execute(
                    "SELECT changes(), last_insert_rowid()").fetchone())
            except sqlite3.Error:
                print("error")
        """

    /// Runs `statements` on the file and returns what the program printed.
    func run(_ statements: [String], on file: String, in folder: TemporaryDirectory) throws
        -> [String]
    {
        let own = folder.file("writer")
        try #require(system(command(statements, on: file, in: folder, files: own)) == 0)
        return try read("\(own).out").split(separator: "\n").map(String.init)
    }

    /// The command for a shell; its files begin with `own`.
    func command(
        _ statements: [String], on file: String, in folder: TemporaryDirectory, files own: String
    ) throws -> String {
        switch self {
        case .python:
            try write(Self.script, to: "\(own).py")
            try write(statements.map { $0 + "\0" }.joined(), to: "\(own).in")
            return "\(rawValue) '\(own).py' '\(file)' '\(own).in' '\(Self.begin)' > '\(own).out'"
        case .shell:
            // An error is on stderr, and the line of results that follows shows no change.
            let lines = statements.map { "\($0);\nSELECT changes(), last_insert_rowid();\n" }
            try write(Self.begin + "\n" + lines.joined(), to: "\(own).in")
            return "\(rawValue) -batch '\(file)' < '\(own).in' > '\(own).out' 2>/dev/null; true"
        }
    }

    /// Runs commands at the same time and waits for all of them.
    func runTogether(_ commands: [String], files own: String) throws {
        let script = """
            import subprocess, sys
            commands = open(sys.argv[1]).read().split("\\0")[:-1]
            running = [subprocess.Popen(command, shell=True) for command in commands]
            sys.exit(max(process.wait(timeout=60) for process in running))
            """
        try write(script, to: "\(own).py")
        try write(commands.map { $0 + "\0" }.joined(), to: "\(own).in")
        try #require(system("\(rawValue) '\(own).py' '\(own).in'") == 0)
    }

    private func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        let bytes = Array(text.utf8)
        try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    private func read(_ path: String) throws -> String {
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite struct ForeignWriterTests {
    static let shapes = Shape.all.filter { !$0.setup.contains("STRICT") }

    @Test(arguments: ForeignWriter.allCases, shapes)
    func journalExplainsWhatOtherProgramsDid(writer: ForeignWriter, shape: Shape) throws {
        guard writer.isInstalled else {
            print("not tested with \(writer.rawValue): it is not installed")
            return
        }
        let folder = TemporaryDirectory()
        let file = folder.file("app.db")
        let seed = SeededGenerator.fresh()
        let run = "seed \(seed), \(shape.name), \(writer.rawValue)"
        let pair = try CapturedPair(shape.setup, tables: shape.tables, path: file)
        try pair.captured.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
        try pair.plain.addIdleTriggers(to: shape.tables)
        var generator = StatementGenerator(seed: seed, tables: pair.tables.map(\.schema))
        // The file's own connection must not hold a transaction open while others write.
        var statements: [String] = []
        while statements.count < 150 { statements += generator.next() + ["ROLLBACK"] }

        let printed = try writer.run(statements, on: file, in: folder)
        // As an error shows only in Python's lines, and changes() lasts, the content is what
        // counts.
        #expect(printed.count == statements.count)
        for (statement, line) in zip(statements, printed) {
            let outcome = pair.plain.outcome(of: statement)
            if writer == .python, (line == "error") != (outcome.code != 0) {
                Issue.record(
                    "\(run): \(line), plain SQLite: \(outcome), after: \(statement)"
                )
                return
            }
            if statement.hasPrefix("INSERT"), outcome.code == 0,
                line != "\(outcome.changes)|\(outcome.lastRowID)"
            {
                Issue.record(
                    "\(run): \(line), plain SQLite: \(outcome), after: \(statement)"
                )
                return
            }
        }
        if let fault = try pair.judge() {
            Issue.record("\(run): \(fault)")
        }
    }

    /// Three processes at once, which push out each other's rows. What each did is unknown; the
    /// journal must lead from the empty table to what is there.
    @Test func journalExplainsSeveralWritersAtOnce() throws {
        guard ForeignWriter.python.isInstalled else {
            print("not tested with several writers: python3 is not installed")
            return
        }
        let folder = TemporaryDirectory()
        let file = folder.file("app.db")
        let setup = "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, n INTEGER, v)"
        let one = try CapturedOne("PRAGMA journal_mode = WAL;" + setup, path: file)
        let seed = SeededGenerator.fresh()
        var commands: [String] = []
        for writer in 0..<3 {
            var generator = StatementGenerator(
                seed: seed + UInt64(writer), tables: [one.table.schema])
            var statements: [String] = []
            while statements.count < 200 { statements += generator.next() + ["ROLLBACK"] }
            let own = folder.file("writer\(writer)")
            commands.append(
                try ForeignWriter.python.command(statements, on: file, in: folder, files: own))
        }
        // Not with "&" and "wait" of a shell: it would wait for a signal that this thread blocks.
        try ForeignWriter.python.runTogether(commands, files: folder.file("all"))

        let after = try one.table.content(in: one.connection)
        let entries = try one.connection.takeEntries(of: one.table)
        #expect(entries.count > 100)
        if let fault = one.table.fault(in: entries, from: [:], to: after) {
            Issue.record("seed \(seed): \(fault)")
        }
    }
}

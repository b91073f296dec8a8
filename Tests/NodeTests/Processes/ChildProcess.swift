// A program of its own, for tests that need real processes. Its output goes to files, so that it
// never blocks on a reader, and can be shown whole when a test fails.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct ProcessError: Error, CustomStringConvertible {
    var description: String
}

/// A running program. It is killed when the value goes.
final class ChildProcess {
    let pid: pid_t
    private let words: [String]
    private let outputPath: String
    private let errorsPath: String
    /// Its standard input; it sees the end when this process goes, however it goes.
    private let input: Int32
    private var isInputOpen = true
    private var exitCode: Int32?

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - words: the program's path and its arguments.
    ///   - log: its output goes to the files `log.out` and `log.err`, behind what they hold.
    init(_ words: [String], log: String, environment: [String: String] = [:]) throws {
        self.words = words
        (outputPath, errorsPath) = ("\(log).out", "\(log).err")
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ProcessError(description: "no pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        input = ends[1]
        let childInput = ends[0]
        defer { _ = close(childInput) }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, childInput, 0)
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorsPath, flags, 0o600)

        // The threads of the pool block most signals, and a child would inherit that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

        var settings = environment
        for name in ["PATH", "HOME", "TMPDIR", "SWIFT_BACKTRACE"] where settings[name] == nil {
            settings[name] = getenv(name).map { String(cString: $0) }
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] =
            settings.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var started = pid_t()
        let code = posix_spawnp(&started, words[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else {
            _ = close(input)
            throw ProcessError(description: "cannot start \(words): errno \(code)")
        }
        pid = started
    }

    deinit {
        kill()
        endInput()
    }

    /// Everything it printed until now.
    var output: String { Self.text(outputPath) }
    var errors: String { Self.text(errorsPath) }

    /// Whether it has not ended.
    var isRunning: Bool {
        reap(WNOHANG)
        return exitCode == nil
    }

    func send(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        writeAll(input, bytes)
    }

    /// Closes its standard input.
    func endInput() {
        guard isInputOpen else { return }
        isInputOpen = false
        _ = close(input)
    }

    func signal(_ number: Int32) {
        if isRunning { deliver(number, to: pid) }
    }

    /// SIGKILL, and waits for the end.
    func kill() {
        guard isRunning else { return }
        deliver(SIGKILL, to: pid)
        reap(0)
    }

    /// The exit code; a signal counts as 128 and its number, as in a shell.
    @discardableResult
    func exit(withinSeconds seconds: Double = 120) async throws -> Int32 {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var pause = 2
        while isRunning {
            guard ContinuousClock.now < deadline else {
                throw ProcessError(
                    description: "\(words) did not end within \(seconds) s; errors:\n"
                        + errors.suffix(4000))
            }
            try await Task.sleep(for: .milliseconds(pause))
            pause = min(20, pause * 2)
        }
        return exitCode ?? -1
    }

    /// The first line of its output from number `start` on that contains `part`, and the number
    /// behind it.
    @discardableResult
    func line(
        from start: Int = 0, with part: String, withinSeconds seconds: Int = 120
    ) async throws -> (text: String, next: Int) {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let isOver = !isRunning
            let lines = output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            for (index, line) in lines.enumerated().dropFirst(start) where line.contains(part) {
                return (String(line), index + 1)
            }
            guard !isOver, ContinuousClock.now < deadline else {
                throw ProcessError(
                    description: "no line with \(part) from \(words): "
                        + (isOver ? "it ended" : "not within \(seconds) s") + "; output:\n"
                        + output.suffix(2000) + "\nerrors:\n" + errors.suffix(4000))
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func reap(_ options: Int32) {
        guard exitCode == nil else { return }
        var status: Int32 = 0
        var result: pid_t
        repeat {
            result = waitpid(pid, &status, options)
        } while result < 0
            && starling_errno() == EINTR
        guard result == pid else { return }
        let signal = status & 0x7f
        exitCode = signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }

    private static func text(_ path: String) -> String {
        String(decoding: Files.read(path) ?? [], as: UTF8.self)
    }
}

private func deliver(_ number: Int32, to pid: pid_t) { _ = kill(pid, number) }

private func readSome(_ file: Int32, _ buffer: inout [UInt8]) -> Int {
    read(file, &buffer, buffer.count)
}

private func writeAll(_ file: Int32, _ bytes: [UInt8]) { _ = write(file, bytes, bytes.count) }

/// Whole files, for tests.
enum Files {
    static func read(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { _ = close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = readSome(file, &chunk)
            guard count > 0 else { return bytes }
            bytes += chunk.prefix(count)
        }
    }

    static func write(_ text: String, to path: String) { write(Array(text.utf8), to: path) }

    /// In place: a file that exists stays the same file.
    static func write(_ bytes: [UInt8], to path: String) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { return }
        defer { _ = close(file) }
        writeAll(file, bytes)
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }
}

// Child processes for tests that block.

import CPlatform
import Synchronization
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Asks again and again until it is so, or the time is over.
func eventually(withinSeconds seconds: Double = 30, _ condition: () throws -> Bool) rethrows -> Bool
{
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
        if try condition() { return true }
        if ContinuousClock.now >= deadline { return try condition() }
        _ = usleep(5000)
    }
}

/// A running program; it is killed when the value goes. Its output goes to a file.
final class TestProcess {
    let pid: pid_t
    private static let starting = Mutex(())
    private let outputPath: String
    private let folder = TemporaryDirectory()
    private let input: Int32
    private var isInputOpen = true
    private var code: Int32?

    init(_ words: [String]) throws {
        let path = folder.file("output")
        outputPath = path
        // Other threads start programs, too, which must not inherit the ends of the pipe.
        (pid, input) = try Self.starting.withLock { _ in try Self.start(words, output: path) }
    }

    private static func start(_ words: [String], output: String) throws -> (pid_t, Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ClientError(description: "no pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { _ = close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var started = pid_t()
        let result = posix_spawnp(
            &started, words[0], &actions, &attributes, &arguments, starling_environment())
        guard result == 0 else {
            _ = close(ends[1])
            throw ClientError(description: "cannot start \(words): errno \(result)")
        }
        return (started, ends[1])
    }

    deinit {
        signal(SIGKILL)
        _ = wait()
        if isInputOpen { _ = close(input) }
    }

    /// Closes its standard input, and waits for its end.
    func endInput() -> Int32 {
        if isInputOpen { _ = close(input) }
        isInputOpen = false
        return wait()
    }

    var output: String {
        guard let file = fopen(outputPath, "rb") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    func signal(_ number: Int32) { if code == nil { _ = kill(pid, number) } }

    var isRunning: Bool {
        guard code == nil else { return false }
        var status: Int32 = 0
        if waitpid(pid, &status, WNOHANG) == pid { note(status) }
        return code == nil
    }

    /// Waits for its end; a signal counts as 128 and its number.
    func wait() -> Int32 {
        var status: Int32 = 0
        if code == nil, waitpid(pid, &status, 0) == pid { note(status) }
        return code ?? -1
    }

    private func note(_ status: Int32) {
        let signal = status & 0x7f
        code = signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }

    /// Runs a program to its end.
    static func run(_ words: [String]) throws -> (code: Int32, output: String) {
        let process = try TestProcess(words)
        let code = process.wait()
        return (code, process.output)
    }
}

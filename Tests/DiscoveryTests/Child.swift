// A child process with lines in both directions, for tests that need real processes. Waiting is
// done with a deadline and never blocks a thread of the pool for long.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct ChildError: Error, CustomStringConvertible {
    var description: String
}

/// A running program. It is killed when the value goes.
final class Child {
    let pid: pid_t
    private let input: Int32
    private let output: Int32
    private let words: [String]
    private var partial: [UInt8] = []
    private(set) var lines: [String] = []
    private var exitCode: Int32?

    /// Starts a program with a small environment; its stderr is ours.
    init(_ words: [String], environment: [String: String] = [:]) throws {
        self.words = words
        let (childInput, input) = try Self.openPipe()
        let (output, childOutput) = try Self.openPipe()
        (self.input, self.output) = (input, output)
        defer {
            close(childInput)
            close(childOutput)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, childInput, 0)
        posix_spawn_file_actions_adddup2(&actions, childOutput, 1)

        // The threads of the pool block most signals, and a child would inherit that: a daemon that
        // cannot be told to end.
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
        for name in ["PATH", "HOME", "TMPDIR"] where settings[name] == nil {
            settings[name] = getenv(name).map { String(cString: $0) }
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] =
            settings.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var started = pid_t()
        let code = posix_spawn(&started, words[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else {
            close(input)
            close(output)
            throw ChildError(description: "cannot start \(words): errno \(code)")
        }
        pid = started
        _ = fcntl(output, F_SETFL, O_NONBLOCK)
    }

    deinit {
        if exitCode == nil {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        close(input)
        close(output)
    }

    func send(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = write(input, bytes, bytes.count)
    }

    /// The first line from number `start` on that contains all of `parts`, and the number behind
    /// it.
    func line(
        from start: Int = 0, with parts: String..., withinSeconds: Int = 60
    ) async throws -> (text: String, next: Int) {
        var index = start
        let deadline = ContinuousClock.now + .seconds(withinSeconds)
        while true {
            let isOpen = readMore()
            while index < lines.count {
                let line = lines[index]
                index += 1
                if parts.allSatisfy(line.contains) { return (line, index) }
            }
            guard isOpen, ContinuousClock.now < deadline else {
                let why = isOpen ? "not within \(withinSeconds) s" : "the process ended"
                throw ChildError(
                    description: "no line with \(parts) from \(words): \(why); its output:\n"
                        + lines.joined(separator: "\n"))
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// The exit code; a signal counts as 128 and its number, as in a shell.
    func exit(withinSeconds: Int = 60) async throws -> Int32 {
        let deadline = ContinuousClock.now + .seconds(withinSeconds)
        while exitCode == nil {
            _ = readMore()
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid {
                let signal = status & 0x7f
                exitCode = signal == 0 ? (status >> 8) & 0xff : 128 + signal
                break
            }
            guard ContinuousClock.now < deadline else {
                throw ChildError(description: "\(words) did not end within \(withinSeconds) s")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        _ = readMore()
        return exitCode ?? -1
    }

    /// Takes what is there; false at the end of the output.
    private func readMore() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(output, &buffer, buffer.count)
            if count == 0 { return false }
            if count < 0 { return true }
            partial += buffer.prefix(count)
            while let end = partial.firstIndex(of: UInt8(ascii: "\n")) {
                lines.append(String(decoding: partial[..<end], as: UTF8.self))
                partial.removeFirst(end + 1)
            }
        }
    }

    /// Both ends are closed in other children, so that the end of the input is seen.
    private static func openPipe() throws -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw ChildError(description: "no pipe: errno \(starling_errno())")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }
}

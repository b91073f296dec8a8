// Another process, for what one process cannot show: foreign readers and writers, and locks.

import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A program whose input and output are one socket; ended when the value goes.
final class ForeignProcess {
    let pid: pid_t
    private let socket: Int32
    private var isInputOpen = true
    private var isReaped = false
    /// Its output has come to its end.
    private var hasEnded = false
    private var pending: [UInt8] = []

    struct CannotStart: Error {
        let program: String
        let number: Int32
    }

    init(_ program: String, _ arguments: [String]) throws {
        var ends: [Int32] = [0, 0]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        try systemCall { socketpair(AF_UNIX, kind, 0, &ends) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        // Whoever runs the tests may ignore these, and threads of a pool block all of them: the
        // program shall inherit neither.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let failure = posix_spawnp(&pid, program, &actions, &attributes, &words, environ)
        _ = close(ends[1])
        socket = ends[0]
        self.pid = pid
        if failure != 0 {
            isReaped = true
            throw CannotStart(program: program, number: failure)
        }
    }

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    func closeInput() {
        guard isInputOpen else { return }
        isInputOpen = false
        _ = shutdown(socket, Int32(SHUT_WR))
    }

    /// The next line of its output; nil at the end or after ten seconds.
    func line() -> String? {
        while true {
            if let end = pending.firstIndex(of: 0x0a) {
                let text = String(decoding: pending[..<end], as: UTF8.self)
                pending.removeFirst(end + 1)
                return text
            }
            guard readMore() else { return nil }
        }
    }

    /// All of its output that is left.
    func rest() -> [UInt8] {
        while readMore() {}
        defer { pending = [] }
        return pending
    }

    /// Its exit code, once its output has ended; a signal is negative. What is still there ten
    /// seconds after its last word is ended.
    func exitCode() -> Int32 {
        closeInput()
        _ = rest()
        if !hasEnded { _ = kill(pid, SIGKILL) }
        return reap()
    }

    private func reap() -> Int32 {
        isReaped = true
        var status: Int32 = 0
        guard (try? systemCall { waitpid(pid, &status, 0) }) != nil else { return -1 }
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : -signal
    }

    private func readMore() -> Bool {
        var state = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard (try? systemCall { poll(&state, 1, 10_000) }) == 1 else { return false }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(socket, &chunk, chunk.count)
        guard count > 0 else {
            hasEnded = true
            return false
        }
        pending.append(contentsOf: chunk[..<count])
        return true
    }

    deinit {
        closeInput()
        if !isReaped {
            _ = kill(pid, SIGKILL)
            _ = reap()
        }
        _ = close(socket)
    }
}

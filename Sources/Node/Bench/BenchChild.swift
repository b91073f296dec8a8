// A node of the bench as a process of its own: this very program, started with `run`. It ends when
// its owner says so or goes, by its process id.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One running node.
final class BenchChild {
    let home: Home
    private let pid: pid_t
    private var hasEnded = false

    private static let startMilliseconds: Int64 = 20_000
    private static let stopMilliseconds: Int64 = 15_000

    /// Starts `executable run` on `home`; what it logs goes to `log` in that folder.
    init(executable: String, home: Home, listen: String, peer: HostPort?) throws {
        self.home = home
        var words = [
            executable, "run", "--home", home.path, "--listen", listen, "--no-discovery",
        ]
        if let peer { words += ["--peer", peer.description] }
        pid = try Self.spawn(words, log: "\(home.path)/log")
    }

    deinit { kill() }

    private static func spawn(_ words: [String], log: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)

        // A caller may block signals, and a child would inherit that: a node that cannot be told to
        // end.
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

        let names: [String] = ["PATH", "HOME", "TMPDIR"]
        let variables: [String] = names.compactMap { name -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { (arguments + environment).forEach { free($0) } }
        var started = pid_t()
        let code = posix_spawn(
            &started, words[0], &actions, &attributes, &arguments, &environment)
        guard code == 0 else {
            throw NodeError(
                .failed, SystemError(number: code).explain("cannot start \(words[0])"))
        }
        return started
    }

    // MARK: Asking

    /// The address on which the node listens, once it does.
    func address() throws -> HostPort {
        let deadline = MonotonicClock.milliseconds() + Self.startMilliseconds
        while true {
            if let status = try? ask("status"), let listen = status["listen"]?.string,
                let address = HostPort(listen)
            {
                return address
            }
            guard isRunning, MonotonicClock.milliseconds() < deadline else {
                throw NodeError(.failed, "a node of the bench did not start: \(lastWords)")
            }
            Stopwatch.sleep(milliseconds: 10)
        }
    }

    func ask(_ command: String, _ arguments: JSONObject = [:]) throws -> JSONValue {
        try ControlClient(home: home).call(
            ControlRequest(command: command, arguments: arguments), silenceMilliseconds: 120_000)
    }

    /// Tells the node to dial now; does not wait for what comes of it.
    func nudge() throws -> FileDescriptor {
        let socket = try ControlSocket.connect(to: home.socketPath, timeoutMilliseconds: 5000)
        try socket.writeAll(ControlRequest(command: "sync").line)
        return socket
    }

    /// Returns when everything written here is on every connected peer, and theirs here.
    func waitUntilSynced() throws {
        _ = try ask("wait", ["synced": true, "timeout_ms": 60_000])
    }

    /// Resident memory in bytes: now, what of it no file is behind, and the most there ever was.
    func memory() throws -> (now: Int64, own: Int64, peak: Int64) {
        let text: [UInt8]
        do { text = try AtomicFile.read("/proc/\(pid)/status", bytesMax: 1 << 16) } catch {
            throw NodeError(.failed, "the memory of a process cannot be read here: \(error)")
        }
        func kilobytes(_ name: String) -> Int64 {
            let line = String(decoding: text, as: UTF8.self).split(separator: "\n")
                .first { $0.hasPrefix("\(name):") }
            return line?.split(separator: " ").compactMap { Int64($0) }.first
                ?? line?.split(whereSeparator: { !$0.isNumber }).compactMap { Int64($0) }.first
                ?? 0
        }
        return (
            kilobytes("VmRSS") * 1024, kilobytes("RssAnon") * 1024, kilobytes("VmHWM") * 1024
        )
    }

    // MARK: Ending

    private var isRunning: Bool {
        if hasEnded { return false }
        var status: Int32 = 0
        if waitpid(pid, &status, WNOHANG) == pid { hasEnded = true }
        return !hasEnded
    }

    /// Ends the node as a person would, and waits for it.
    func stop() {
        guard isRunning else { return }
        _ = Self.signal(pid, SIGTERM)
        let deadline = MonotonicClock.milliseconds() + Self.stopMilliseconds
        while isRunning, MonotonicClock.milliseconds() < deadline {
            Stopwatch.sleep(milliseconds: 5)
        }
        kill()
    }

    private func kill() {
        guard isRunning else { return }
        _ = Self.signal(pid, SIGKILL)
        var status: Int32 = 0
        _ = waitpid(pid, &status, 0)
        hasEnded = true
    }

    private static func signal(_ pid: pid_t, _ number: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.kill(pid, number)
        #elseif canImport(Musl)
        Musl.kill(pid, number)
        #else
        Darwin.kill(pid, number)
        #endif
    }

    /// The end of its log.
    private var lastWords: String {
        guard let log = try? AtomicFile.read("\(home.path)/log", bytesMax: 1 << 20) else {
            return "it left no log"
        }
        return String(decoding: log.suffix(500), as: UTF8.self)
    }
}

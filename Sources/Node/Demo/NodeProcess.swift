// Nodes as processes of this very program, for the demo: started, asked over their sockets, ended
// by their process ids.

internal import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One node in a process of its own; ended when the value goes.
final class NodeProcess {
    let home: Home
    let name: String
    private var pid: pid_t = 0

    init(home: Home, name: String) {
        self.home = home
        self.name = name
    }

    deinit { stop() }

    var database: String { "\(home.path)/data.db" }

    /// Starts `starling run` with `arguments`; what it logs goes to `run.log` in its home folder.
    func start(_ arguments: [String]) throws {
        let words = [NodeProcess.program, "run", "--home", home.path] + arguments
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A child inherits blocked signals, and could then not be ended.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, 2, "\(home.path)/run.log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var pointers = words.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        pointers.append(nil)
        let code = posix_spawn(
            &pid, NodeProcess.program, &actions, &attributes, pointers, NodeProcess.environment())
        guard code == 0 else {
            throw NodeError(.failed, "cannot start a node: \(String(cString: strerror(code)))")
        }
    }

    private static func environment() -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        starling_environment()
    }

    /// The program that runs now.
    static let program: String = Path.resolved("/proc/self/exe") ?? CommandLine.arguments[0]

    /// Asks the running node; waits up to `seconds` for it to answer at all.
    func ask(_ command: String, _ arguments: JSONObject = [:], seconds: Int64 = 20) throws
        -> JSONValue
    {
        let deadline = MonotonicClock.milliseconds() + seconds * 1000
        while true {
            do {
                let client = try ControlClient(home: home)
                return try client.call(
                    ControlRequest(command: command, arguments: arguments),
                    silenceMilliseconds: Int(seconds * 1000), onEvent: { _ in })
            } catch let error as NodeError where error.code == .notRunning {
                var status: Int32 = 0
                guard pid > 0, waitpid(pid, &status, WNOHANG) == 0 else {
                    pid = 0
                    throw NodeError(
                        .failed, "the node \(name) ended by itself: see \(home.path)/run.log")
                }
                guard MonotonicClock.milliseconds() < deadline else { throw error }
                _ = poll(nil, 0, 20)
            }
        }
    }

    func stop() {
        guard pid > 0 else { return }
        kill(pid, SIGTERM)
        var status: Int32 = 0
        let deadline = MonotonicClock.milliseconds() + 3000
        while waitpid(pid, &status, WNOHANG) == 0 {
            if MonotonicClock.milliseconds() > deadline { kill(pid, SIGKILL) }
            _ = poll(nil, 0, 10)
        }
        pid = 0
    }
}

// A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket only, with fsync. It
// ends with this process, however that ends.

import Synchronization
import TestKit

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

final class PostgreSQLCluster: Sendable {
    private let folder: String
    private let state: Mutex<State>
    private let tools: String
    /// What runs a program as a user who is not root, which PostgreSQL insists on.
    private let prefix: [String]

    private struct State {
        var server: TestProcess?
        var databases = 0
    }

    private static let common = Mutex<Result<PostgreSQLCluster, any Error>?>(nil)

    /// The server that all tests share, each with a database of its own.
    static func shared() throws -> PostgreSQLCluster {
        try common.withLock { known in
            let result = known ?? Result { try PostgreSQLCluster() }
            known = result
            return try result.get()
        }
    }

    private static let missing = """
        there is no PostgreSQL server on this machine, and the relay's tests need one: \
        run Config/setup --postgres
        """

    init() throws {
        let folders = ["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin"]
        let search =
            folders + (10..<30).reversed().map { "/usr/lib/postgresql/\($0)/bin" }
            + ["/usr/local/bin", "/usr/bin", "/usr/pgsql-16/bin", "/opt/homebrew/bin"]
        guard let tools = search.first(where: { access("\($0)/initdb", X_OK) == 0 }) else {
            throw ClientError(description: Self.missing)
        }
        self.tools = tools
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/starling-pg.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ClientError(description: "no folder") }
        folder = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if geteuid() == 0 {
            let user = "postgres"
            prefix = ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "--"]
            guard let entry = getpwnam(user),
                chown(folder, entry.pointee.pw_uid, entry.pointee.pw_gid) == 0
            else { throw ClientError(description: Self.missing) }
        } else {
            prefix = []
        }
        state = Mutex(State())
        let made = try TestProcess.run(
            prefix + [
                "\(tools)/initdb", "--pgdata", "\(folder)/data", "--auth", "trust", "--username",
                "relay",
                "--encoding", "UTF8", "--locale", "C",
            ])
        guard made.code == 0 else { throw ClientError(description: "initdb: \(made.output)") }
        try start()
    }

    /// A shell that outlives nothing: when its standard input ends, the server does, and the folder goes.
    private var script: String {
        let words = prefix.joined(separator: " ")
        return """
            \(words) \(tools)/postgres -D \(folder)/data -k \(folder) -c listen_addresses= \
            -c max_connections=400 -c shared_buffers=32MB & server=$!
            cat >/dev/null
            kill -INT $server 2>/dev/null; wait $server
            [ -e \(folder)/kept ] || rm -rf \(folder)
            """
    }

    func start() throws {
        try state.withLock { $0.server = try TestProcess(["sh", "-c", script]) }
        // After a crash it flushes all its files first.
        guard eventually(withinSeconds: 240, { (try? run("SELECT 1")) != nil }) else {
            throw ClientError(description: "PostgreSQL does not start: \(output)")
        }
    }

    private var output: String { state.withLock { $0.server?.output ?? "" } }

    /// As after a loss of power: no checkpoint, no goodbye. ``start()`` brings it back.
    func crash() throws {
        _ = try TestProcess.run(["touch", "\(folder)/kept"])
        _ = try TestProcess.run(
            prefix + ["\(tools)/pg_ctl", "stop", "-D", "\(folder)/data", "-m", "immediate", "-w"])
        state.withLock { state in
            _ = state.server?.endInput()
            state.server = nil
        }
        _ = try TestProcess.run(["rm", "\(folder)/kept"])
    }

    /// Runs one statement as a person would.
    @discardableResult
    func run(_ sql: String, in database: String = "postgres") throws -> String {
        let result = try TestProcess.run([
            "\(tools)/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U",
            "relay", "-d", database, "-c", sql,
        ])
        guard result.code == 0 else { throw ClientError(description: result.output) }
        return result.output
    }

    /// The URL of a fresh database.
    func newDatabase() throws -> String {
        let name = state.withLock { state in
            state.databases += 1
            return "relay\(state.databases)"
        }
        try run("CREATE DATABASE \(name)")
        return "postgresql:///\(name)?host=\(folder)&user=relay"
    }

    /// The name of the database in such a URL.
    static func name(_ url: String) -> String {
        String(url.dropFirst("postgresql:///".count).prefix { $0 != "?" })
    }

    /// Ends the server and removes its folder.
    func end() {
        state.withLock { state in
            _ = state.server?.endInput()
            state.server = nil
        }
    }
}

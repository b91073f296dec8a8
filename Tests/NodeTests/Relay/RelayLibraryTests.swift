// The libraries that only a relay needs: a node without a relay neither loads nor misses them.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

#if os(Linux)
@Suite(.fewAtOnce) struct RelayLibraryTests {
    private static let schema = "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title);"
    private static let all = ["libcurl.so.4", "libmicrohttpd.so.12", "libpq.so.5"]

    /// Words that hide these libraries from a program: files in their place that are none.
    private static func without(_ libraries: [String], _ flock: Flock) -> [String] {
        let folder = flock.path("none")
        mkdir(folder, 0o700)
        for library in libraries { Files.write("no library", to: "\(folder)/\(library)") }
        return ["env", "LD_LIBRARY_PATH=\(folder)"]
    }

    private static func maps(_ process: ChildProcess?) throws -> String {
        let path = "/proc/\(try #require(process).pid)/maps"
        let text = String(decoding: try #require(Files.read(path)), as: UTF8.self)
        try #require(text.contains("libsqlite3"))
        return text
    }

    @Test(.timeLimit(.minutes(10))) func loadsThemWhenARelayIsUsed() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: Self.schema)[0]
        try await ann.start()
        let alone = try Self.maps(ann.process)
        for library in Self.all { #expect(!alone.contains(library)) }
        let relay = try await ServedRelay(in: flock)
        let serving = try Self.maps(relay.process)
        #expect(serving.contains("libmicrohttpd.so.12"))
        #expect(!serving.contains("libpq.so.5") && !serving.contains("libcurl.so.4"))
        try await ann.ask("relay", "join", relay.url)
        #expect(try Self.maps(ann.process).contains("libcurl.so.4"))
    }

    @Test(.timeLimit(.minutes(10))) func saysWhatToInstall() async throws {
        let flock = Flock()
        let hidden = Self.without(Self.all, flock)
        let ann = try await flock.node("ann")
        try await ann.sql(Self.schema)
        try await ann.ask("track", "--all")
        let served = try await flock.run(
            hidden + [Flock.program, "relay", "serve", "--store", flock.path("r.db"), "--open"])
        #expect(
            served.code == 1 && served.errors.contains("apt install libmicrohttpd12"), "\(served)")
        let other = try await flock.run(
            hidden + [
                Flock.program, "relay", "serve", "--postgres", "postgresql://localhost/none",
                "--open",
            ])
        #expect(other.code == 1 && other.errors.contains("apt install libpq5"), "\(other)")

        // A node whose group joins a relay that it cannot speak to syncs on, and says what it lacks.
        ann.tracer = hidden
        let bob = try await flock.node("bob")
        try await bob.start()
        try await ann.start(peers: [bob])
        let refused = try await ann.command("relay", "join", "http://127.0.0.1:1")
        #expect(refused.code == 1 && refused.errors.contains("apt install libcurl4"), "\(refused)")
        let relay = try await ServedRelay(in: flock)
        try await bob.ask("relay", "join", relay.url)
        try await flock.until("ann says what is missing") {
            let status = try await ann.status()
            return "\(status)".contains("apt install libcurl4")
        }
        try await ann.sql("INSERT INTO jobs VALUES('j1','roof')")
        try await bob.shows("SELECT title FROM jobs", "roof")
        try await flock.converge(ann, bob)
    }
}
#endif

// The home folder: made once, private, read with remedies, and held by one process at a time.

import Node
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite struct ConfigurationHomeTests {
    private let folder = TemporaryDirectory()

    private func create(
        _ home: Home, database: String? = nil, name: String? = "Attic", group: String? = nil
    ) throws -> Identity {
        try Home.create(home, database: database, name: name, group: group, nowMilliseconds: 42)
    }

    private func mode(_ path: String) -> mode_t {
        var info = stat()
        guard stat(path, &info) == 0 else { return 0 }
        return info.st_mode & 0o777
    }

    @Test func whatIsMadeReadsBackAndIsPrivate() throws {
        let home = Home(path: folder.file("deep/home"))
        let identity = try create(home, database: "/srv/a.db")
        #expect(try home.identity() == identity)
        #expect(identity.name == "Attic")
        #expect(identity.node.count == 32 && identity.group.count == 32)
        #expect(identity.node != identity.group)
        let configuration = try home.configuration()
        #expect(configuration.database == "/srv/a.db")
        #expect(mode(home.path) == 0o700)
        #expect(mode(home.identityPath) == 0o600)
        #expect(mode(home.configurationPath) == 0o600)
        #expect(mode(home.keyPath) == 0o600)
    }

    @Test func theSecondMachineJoinsTheGroup() throws {
        let first = try create(Home(path: folder.file("a")))
        let group = first.group.uppercased()
        #expect(try create(Home(path: folder.file("b")), group: group).group == first.group)
        for group in ["", "12", first.group + "00", "zz" + first.group.dropFirst(2)] {
            #expect(throws: NodeError(.usage, "")) {
                try create(Home(path: folder.file("c")), group: group)
            }
        }
        #expect(!Path.exists(folder.file("c")))
    }

    @Test func theDefaultNameIsTheMachines() throws {
        let identity = try create(Home(path: folder.file("a")), name: nil)
        #expect(!identity.name.isEmpty)
        #expect(!identity.name.contains("."))
        #expect(throws: NodeError(.usage, "")) {
            try create(Home(path: folder.file("b")), name: "a\u{1b}[2Jb")
        }
    }

    @Test func aHomeThatExistsIsLeftAlone() throws {
        let home = Home(path: folder.file("a"))
        let identity = try create(home)
        let failure = #expect(throws: NodeError.self) { try create(home, name: "Other") }
        #expect(failure?.code == .refused)
        #expect(failure?.message.contains(home.path) == true)
        #expect(try home.identity() == identity)
    }

    @Test func ofManyWhoMakeOneHomeAtOnceOneSucceeds() async throws {
        let home = Home(path: folder.file("a"))
        let results = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<8 {
                group.addTask {
                    (try? Home.create(
                        home, database: nil, name: "n\(number)", group: nil, nowMilliseconds: 0))
                        != nil
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.count { $0 } == 1)
        #expect(throws: Never.self) { try home.identity() }
    }

    @Test func missingAndDamagedHomesAreNamedWithTheRemedy() throws {
        let home = Home(path: folder.file("a"))
        let missing = #expect(throws: NodeError.self) { try home.identity() }
        #expect(missing?.code == .badHome)
        #expect(missing?.message.contains("starling init") == true)
        _ = try create(home)
        let content = try AtomicFile.read(home.identityPath, bytesMax: 1 << 16)
        for end in 0..<content.count - 2 {
            try AtomicFile.replace(home.identityPath, with: Array(content[..<end]))
            #expect(throws: NodeError(.badHome, "")) { try home.identity() }
        }
        try AtomicFile.replace(home.configurationPath, with: Array("{ lisen: 1 }".utf8))
        #expect(throws: NodeError(.badConfiguration, "")) { try home.configuration() }
    }

    @Test func theFolderIsFoundInItsDocumentedOrder() throws {
        func locate(_ option: String?, _ variables: [String: String]) throws -> String {
            try Home.locate(option, environment: { variables[$0] }, currentFolder: "/cwd").path
        }
        let all = ["STARLING_HOME": "/s", "XDG_DATA_HOME": "/x", "HOME": "/h"]
        #expect(try locate("rel/./a/", all) == "/cwd/rel/a")
        #expect(try locate(nil, all) == "/s")
        #expect(try locate(nil, ["STARLING_HOME": "", "XDG_DATA_HOME": "/x"]) == "/x/starling")
        #expect(
            try locate(nil, ["XDG_DATA_HOME": "rel", "HOME": "/h"]) == "/h/.local/share/starling")
        #expect(throws: NodeError(.badHome, "")) { try locate(nil, [:]) }
    }

    // MARK: Locks

    @Test func oneProcessHoldsAHome() throws {
        let home = Home(path: folder.path)
        var lock: FileLock? = try home.lock(pid: getpid())
        #expect(lock != nil)
        #expect(home.runningNode().isRunning)
        #expect(home.runningNode().pid == getpid())
        // The lock is refused to this process as well, and the refusal names the holder.
        let failure = #expect(throws: NodeError.self) { try home.lock(pid: getpid()) }
        #expect(failure?.code == .refused)
        #expect(failure?.message.contains("process \(getpid())") == true)
        let other = try locker(home.lockPath)
        #expect(other.line() == "refused")
        lock = nil
        #expect(!home.runningNode().isRunning)
        let next = try locker(home.lockPath)
        #expect(next.line() == "locked")
        #expect(throws: NodeError(.refused, "")) { try home.lock(pid: getpid()) }
        // A lock ends with its process, however that ends.
        _ = kill(next.pid, SIGKILL)
        #expect(next.exitCode() == -SIGKILL)
        #expect(throws: Never.self) { try home.lock(pid: getpid()) }
    }

    @Test func oneNodeHoldsADatabase() throws {
        let database = folder.file("data.db")
        try AtomicFile.replace(database, with: [])
        let first = Home(path: folder.file("a"))
        let second = Home(path: folder.file("b"))
        _ = symlink(database, folder.file("link.db"))
        var configuration = Configuration()
        configuration.database = folder.file("link.db")
        // Another name of the file is the same file.
        let path = second.databasePath(configuration)
        #expect(path == Path.resolved(database))
        let lock = try first.lockDatabase(path, pid: getpid())
        let failure = #expect(throws: NodeError.self) {
            try second.lockDatabase(path, pid: getpid())
        }
        #expect(failure?.code == .refused)
        #expect(failure?.message.contains(first.path) == true)
        #expect(failure?.message.contains("starling backup") == true)
        #expect(lock.path == Home.databaseLockPath(path))
    }

    /// A process that takes the lock at `path` or says that it is refused.
    private func locker(_ path: String) throws -> ForeignProcess {
        let script = """
            import fcntl, sys
            file = open(sys.argv[1], "a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("refused", flush=True)
                sys.exit()
            print("locked", flush=True)
            sys.stdin.read()
            """
        return try ForeignProcess("python3", ["-c", script, path])
    }

    // MARK: Small files

    @Test func replacingAFileLeavesTheOldOrTheNew() throws {
        let path = folder.file("f")
        try AtomicFile.replace(path, with: [1])
        try AtomicFile.replace(path, with: [2, 3])
        #expect(try AtomicFile.read(path, bytesMax: 10) == [2, 3])
        #expect(throws: SystemError(number: EEXIST)) { try AtomicFile.create(path, with: [4]) }
        #expect(throws: SystemError(number: ENOENT)) {
            try AtomicFile.replace(folder.file("missing/f"), with: [])
        }
        #expect(try AtomicFile.read(path, bytesMax: 10) == [2, 3])
    }

    @Test func peersAreRememberedNewestFirstAndWithinLimits() throws {
        let home = Home(path: folder.path)
        #expect(PeerCache(of: home) == PeerCache())
        var cache = PeerCache()
        for number in 0..<PeerCache.entriesMax + 5 {
            cache.note(
                node: "n\(number)", name: "N", address: HostPort(host: "h", port: 1),
                nowMilliseconds: Int64(number))
        }
        for port in 1...9 {
            cache.note(
                node: "n9", name: "Nine", address: HostPort(host: "::1", port: UInt16(port)),
                nowMilliseconds: 1000)
        }
        #expect(cache.entries.count == PeerCache.entriesMax)
        #expect(cache.entries.first?.node == "n9")
        #expect(cache.entries.first?.addresses.map(\.port) == [9, 8, 7, 6])
        try cache.save(to: home)
        #expect(PeerCache(of: home) == cache)
        try AtomicFile.replace(home.peersPath, with: Array("{\"peers\":[{}, 7".utf8))
        #expect(PeerCache(of: home) == PeerCache())
    }
}

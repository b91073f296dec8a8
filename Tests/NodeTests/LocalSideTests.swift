// Who shares the machine: another user at the control socket, and whoever lists processes.

import Node
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite(.fewAtOnce) struct LocalSideTests {
    private static var mayBeAnother: Bool {
        if geteuid() == 0 { return true }
        print("LocalSideTests: not run as root, so nobody else can be played")
        return false
    }

    /// Says one request as another user, and prints what came back.
    private static let ask = """
        import os, socket, sys
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(sys.argv[1])
        try:
            s.sendall(b'{"command":"status"}\\n')
            print(len(s.recv(65536)), os.getuid())
        except OSError as error:
            print(0, os.getuid(), error)
        """

    /// The socket's mode keeps others out, and where a folder lets them in the node does.
    @Test(.enabled(if: mayBeAnother, "needs root")) func anotherUserIsNotAnswered() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        let socket = "\(ann.home)/control.sock"
        let mode = try await flock.run(["stat", "-c", "%a", socket])
        #expect(mode.output == "600\n", "\(mode)")
        func answer() async throws -> String {
            try await flock.run([Flock.python, "-c", Self.ask, socket]).output
        }
        #expect(try await answer().isEmpty, "the mode lets nobody else connect")
        // Whoever opens the way to it opens nothing.
        var folder = ann.home
        while folder.count > 1, folder != "/tmp" {
            _ = try await flock.run(["chmod", "o+x", folder])
            folder = Path.parent(of: folder)
        }
        _ = try await flock.run(["chmod", "666", socket])
        let said = try await answer()
        #expect(said.hasPrefix("0 65534"), "\(said)")
        #expect(try await ann.command("status").code == 0)
    }

    /// The line of an invitation is a secret: it is not to be read from a list of processes while its command
    /// waits.
    @Test func anInvitationIsNotSeenAmongProcesses() async throws {
        let flock = Flock()
        let ann = try await flock.nodes("ann", schema: AttackTests.jobs)[0]
        try await ann.start()
        let line = try #require(try await ann.ask("invite")["invitation"]?.string)
        // Nothing answers there, and it waits.
        try await ann.stop()
        let join = try flock.spawn(
            [Flock.program, "--home", flock.path("bob"), "join", line, "--no-discovery"],
            name: "join")
        let place = "/proc/\(join.pid)/cmdline"
        var shown = ""
        try await flock.until("it hides what it was given") {
            shown = String(decoding: Files.read(place) ?? [], as: UTF8.self)
            return shown.contains("join") && shown.contains("xxx")
        }
        #expect(!shown.contains(line) && !shown.contains(line.dropFirst("STARLING1-".count)))
        join.kill()
    }
}

// Relays for the client: a real one in this process, and servers that behave as no relay does.

import CPlatform
import Relay
import RelayClient
import RelayProtocol
import Synchronization
import TestKit
import Testing
import Trust

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct FixtureError: Error, CustomStringConvertible {
    var description: String
}

/// Asks again and again until it is so, or the time is over.
func eventually(withinSeconds seconds: Double = 30, _ condition: () -> Bool) -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while !condition() {
        if ContinuousClock.now >= deadline { return condition() }
        _ = usleep(2000)
    }
    return true
}

/// What a completion brings.
final class Answer<Success: Sendable>: Sendable {
    private let results = Mutex<[Result<Success, RelayFailure>]>([])
    private let stored = Mutex<HTTPRequestID?>(nil)

    /// nil when the client took no request.
    var id: HTTPRequestID? { stored.withLock { $0 } }

    /// A client that goes breaks its requests off.
    private let http: HTTPClient?

    /// - Parameter send: starts the request with this completion.
    init(
        keeping http: HTTPClient? = nil,
        _ send: (@escaping RelayConnection.Completion<Success>) -> HTTPRequestID?
    ) {
        self.http = http
        let id = send { [weak self] result in self?.results.withLock { $0.append(result) } }
        stored.withLock { $0 = id }
    }

    var isThere: Bool { results.withLock { !$0.isEmpty } }
    var count: Int { results.withLock { $0.count } }

    /// Waits for it; a test that waits for nothing fails.
    func wait(withinSeconds seconds: Double = 30) throws -> Result<Success, RelayFailure> {
        guard eventually(withinSeconds: seconds, { isThere }), let first = results.withLock(\.first)
        else { throw FixtureError(description: "no answer within \(seconds) seconds") }
        return first
    }

    func get() throws -> Success { try wait().get() }

    func failure() throws -> RelayFailure {
        switch try wait() {
        case .success: throw FixtureError(description: "the request succeeded")
        case .failure(let failure): failure
        }
    }
}

/// A relay in this process, as long as the value lives.
final class ClientRelay {
    let server: RelayServer
    private let folder = TemporaryDirectory()

    init(port: UInt16 = 0, _ change: (inout RelayConfiguration) -> Void = { _ in }) throws {
        var configuration = RelayConfiguration()
        configuration.storage = .file(folder.file("relay.db"))
        configuration.port = port
        configuration.isOpen = true
        change(&configuration)
        server = try RelayServer(
            configuration, log: RelayLog { _, _ in }, wall: { 1_700_000_000_000 })
        try server.start()
    }

    private var isStopped = false

    func stop() {
        if !isStopped { server.stop() }
        isStopped = true
    }

    deinit { stop() }
}

/// A group's way to a relay at a port of this machine.
struct ClientFixture {
    let group = GroupSecret()
    let http: HTTPClient
    let connection: RelayConnection
    var credential: Credential { group.baseEpoch.credential(in: group) }

    init(
        port: UInt16, scheme: String = "http", host: String = "127.0.0.1",
        _ change: (inout HTTPSettings) -> Void = { _ in }
    ) throws {
        var settings = HTTPSettings(try RelayAddress("\(scheme)://\(host):\(port)"))
        change(&settings)
        http = try HTTPClient(settings)
        connection = RelayConnection(http: http, group: group.relayGroup)
    }

    func enrol(token: String? = nil) -> Answer<RelayConnection.Enrolment> {
        Answer(keeping: http) { connection.enrol(credential, token: token, completion: $0) }
    }

    func sync(
        _ entries: [LogEntry] = [], after: LogPosition? = nil, wait: Int = 0
    ) -> Answer<SyncAnswer> {
        Answer(keeping: http) {
            connection.sync(
                credential, after: after, waitSeconds: wait, entries: entries, completion: $0)
        }
    }
}

extension LogEntry {
    /// An entry whose key is made of a number.
    init(_ number: UInt8, _ content: [UInt8]? = nil) {
        self.init(key: [UInt8](repeating: number, count: 20), content: content ?? [number])
    }
}

/// A server of one script: what it sends once a request's head has come, piece by piece; then it closes,
/// or stays silent.
final class StrangeServer: Sendable {
    struct Script: Sendable {
        var pieces: [[UInt8]]
        var staysOpen = false
    }

    let port: UInt16
    private let listener: Int32
    private let state: Mutex<(heads: [String], isOver: Bool)> = Mutex(([], false))

    init(_ script: Script) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let code = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        guard code else { throw FixtureError(description: "no listener: \(starling_errno())") }
        port = UInt16(bigEndian: address.sin_port)
        TestThread.start { [self] in serve(script) }
    }

    /// - Parameter text: an answer's head and body.
    convenience init(_ text: String, staysOpen: Bool = false) throws {
        try self.init(Script(pieces: [Array(text.utf8)], staysOpen: staysOpen))
    }

    /// Ends its thread, which holds the value until then.
    func stop() {
        state.withLock { $0.isOver = true }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    var heads: [String] { state.withLock { $0.heads } }

    private func serve(_ script: Script) {
        var open: [Int32] = []
        while true {
            let peer = accept(listener, nil, nil)
            guard peer >= 0, !state.withLock({ $0.isOver }) else { break }
            var head: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while !String(decoding: head, as: UTF8.self).contains("\r\n\r\n") {
                let count = recv(peer, &buffer, buffer.count, 0)
                if count <= 0 { break }
                head += buffer[..<count]
            }
            state.withLock { $0.heads.append(String(decoding: head, as: UTF8.self)) }
            for piece in script.pieces { send(peer, piece, piece.count, Int32(MSG_NOSIGNAL)) }
            if script.staysOpen { open.append(peer) } else { close(peer) }
        }
        for peer in open { close(peer) }
        close(listener)
    }
}

/// Runs a program to its end; its code.
func runProgram(_ words: [String]) throws -> Int32 {
    var pid = pid_t()
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for file in [Int32(1), 2] {
        posix_spawn_file_actions_addopen(&actions, file, "/dev/null", O_WRONLY, 0)
    }
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    let code = posix_spawnp(&pid, words[0], &actions, nil, &arguments, starling_environment())
    guard code == 0 else { throw FixtureError(description: "cannot start \(words[0])") }
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    return status
}

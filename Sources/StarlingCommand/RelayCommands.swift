// `starling relay …`: serving, and what an operator does with the store.

import Node
import Relay
import RelayProtocol

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct RelayCommands {
    let environment: (String) -> String?

    func perform(_ action: RelayAction, _ invocation: Invocation, _ page: Page) throws -> ExitCode {
        let configuration = try configuration(invocation)
        switch action {
        case .overview: return .usage
        case .serve: return try serve(configuration)
        case .token: try token(store(configuration), invocation, page)
        case .groups: try groups(store(configuration), page)
        case .usage: try usage(store(configuration), invocation, page)
        case .delete: try delete(store(configuration), invocation, page)
        }
        return .success
    }

    // MARK: Settings

    private func configuration(_ invocation: Invocation) throws -> RelayConfiguration {
        let folder = Path.currentFolder()
        var settings = RelayConfiguration()
        if let name = invocation.value(.relayConfiguration) {
            let path = Path.absolute(name, in: folder)
            settings = try RelayConfiguration(
                json5: try Self.content(of: path), file: path, folder: Path.parent(of: path))
        }
        if let file = invocation.value(.relayStore) {
            settings.storage = .file(Path.absolute(file, in: folder))
        }
        if let url = invocation.value(.relayPostgres) {
            guard !invocation.has(.relayStore) else {
                throw NodeError(.usage, "--store and --postgres: a relay has one of them")
            }
            settings.storage = .postgreSQL(url)
        }
        if let address = invocation.value(.relayListen).flatMap({ HostPort($0) }) {
            settings.listen(on: address)
        }
        if invocation.has(.relayOpen) { settings.isOpen = true }
        if let certificate = invocation.value(.certificate) {
            settings.certificate = Path.absolute(certificate, in: folder)
        }
        if let key = invocation.value(.certificateKey) {
            settings.key = Path.absolute(key, in: folder)
        }
        guard (settings.certificate == nil) == (settings.key == nil) else {
            throw NodeError(.usage, "--certificate and --key go together")
        }
        return settings
    }

    private static func content(of path: String) throws -> [UInt8] {
        do throws(SystemError) {
            let file = try FileDescriptor(opening: path, O_RDONLY)
            return try file.readAll(bytesMax: Configuration.fileBytesMax + 1)
        } catch {
            throw NodeError(.badConfiguration, error.explain("cannot read \(path)"))
        }
    }

    // MARK: Serving

    private func serve(_ configuration: RelayConfiguration) throws -> ExitCode {
        // Before the first thread is made, so that all of them leave the signals to this one.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        let lines = Log(level: .info)
        let log = RelayLog { level, words in
            switch level {
            case .info: lines.info(words)
            case .warning: lines.warning(words)
            case .error: lines.error(words)
            }
        }
        let server: RelayServer
        do {
            server = try RelayServer(configuration, log: log)
            try server.start()
        } catch let error as RelayError {
            lines.error(error.debugDescription)
            throw NodeError(.failed, error.message, cause: error)
        }
        let address = HostPort(host: configuration.host, port: server.port)
        let scheme = configuration.key == nil ? "http" : "https"
        lines.info("relay: serving \(scheme)://\(address)")
        if configuration.isOpen { lines.info("relay: open, groups enrol without a token") }
        var number: Int32 = 0
        while sigwait(&signals, &number) != 0 {}
        lines.info("relay: stopping")
        server.stop()
        lines.info("relay: stopped")
        return .success
    }

    // MARK: The store

    private func store(_ configuration: RelayConfiguration) throws -> RelayStore {
        if case .file(let path) = configuration.storage, access(path, F_OK) != 0 {
            throw NodeError(
                .notFound, "there is no relay's store at \(path): name it with --store or --config")
        }
        do {
            let session = try configuration.storage.database.connect()
            return RelayStore(
                session, quota: configuration.quota, now: RelayClock.wallMilliseconds)
        } catch let error as RelayError {
            throw NodeError(.failed, Self.words(error), cause: error)
        }
    }

    /// To the operator the cause is no secret.
    private static func words(_ error: RelayError) -> String {
        error.cause.map { "\(error.message) (\(String(reflecting: $0)))" } ?? error.message
    }

    private static func group(_ text: String) throws -> GroupName {
        guard let name = GroupName(text: text) else {
            throw NodeError(
                .usage, "a group's id has 32 to 64 digits, as starling relay groups prints them")
        }
        return name
    }

    private func token(_ store: RelayStore, _ invocation: Invocation, _ page: Page) throws {
        if invocation.has(.tokenRevoke) {
            let count = Int64(try store.revokeTokens())
            if page.json {
                page.print((["revoked": .int(count)] as JSONValue).text)
            } else {
                page.print("\(Words.count(count, "token")) cannot be used any more.")
            }
            return
        }
        let uses = invocation.value(.tokenUses).flatMap { Int64($0) } ?? 1
        let lifetime =
            invocation.value(.tokenLifetime).flatMap(ValueKind.milliseconds) ?? 86_400_000
        let token = try store.makeToken(uses: uses, lifetimeMilliseconds: lifetime)
        guard !page.json else {
            let value: JSONValue = [
                "token": .string(token), "uses": .int(uses),
                "expires_ms": .int(RelayClock.wallMilliseconds() + lifetime),
            ]
            page.print(value.text)
            return
        }
        page.print(token)
    }

    private func groups(_ store: RelayStore, _ page: Page) throws {
        let groups = try store.usage(count: Self.groupCountMax)
        guard !page.json else {
            page.print((["groups": .array(groups.map(Self.json))] as JSONValue).text)
            return
        }
        let now = RelayClock.wallMilliseconds()
        if groups.isEmpty { page.print("No group is enrolled.") }
        page.columns(
            groups.map { group in
                [
                    Page.Cell(group.name, .strong), Page.Cell(Words.bytes(group.bytes)),
                    Page.Cell(Words.count(group.entries, "entry", "entries")),
                    Page.Cell(Words.count(group.snapshots, "snapshot")),
                    Page.Cell("used \(Words.ago(group.used, now: now))"),
                ]
            }, indent: 0)
    }

    private static let groupCountMax = 1000

    private func usage(_ store: RelayStore, _ invocation: Invocation, _ page: Page) throws {
        if let text = invocation.operands.first {
            let name = try Self.group(text)
            guard let group = try store.usage(count: 1, name: name).first else {
                throw Self.unknown(name)
            }
            if page.json {
                page.print(Self.json(group).text)
            } else {
                Self.print(group, page)
            }
            return
        }
        let totals = try store.totals()
        guard !page.json else {
            let value: JSONValue = [
                "groups": .int(totals.groups), "entries": .int(totals.entries),
                "bytes": .int(totals.bytes),
            ]
            page.print(value.text)
            return
        }
        page.columns([
            ["groups", Page.Cell(Words.grouped(totals.groups))],
            ["entries", Page.Cell(Words.grouped(totals.entries))],
            ["kept", Page.Cell(Words.bytes(totals.bytes))],
        ])
    }

    private static func print(_ group: RelayStore.Usage, _ page: Page) {
        let now = RelayClock.wallMilliseconds()
        page.columns([
            ["group", Page.Cell(group.name)],
            ["entries", Page.Cell(Words.grouped(group.entries))],
            ["appended ever", Page.Cell(Words.grouped(group.head))],
            ["snapshots", Page.Cell(Words.grouped(group.snapshots))],
            ["kept", Page.Cell(Words.bytes(group.bytes))],
            ["enrolled", Page.Cell(Words.ago(group.created, now: now))],
            ["used", Page.Cell(Words.ago(group.used, now: now))],
        ])
    }

    private func delete(_ store: RelayStore, _ invocation: Invocation, _ page: Page) throws {
        let name = try Self.group(invocation.operands[0])
        guard try store.delete(name) else { throw Self.unknown(name) }
        if page.json {
            page.print((["deleted": .string(name.text)] as JSONValue).text)
        } else {
            page.print("\(name.text) is removed.")
        }
    }

    private static func unknown(_ name: GroupName) -> NodeError {
        NodeError(.notFound, "no group \(name.text) is enrolled; see starling relay groups")
    }

    private static func json(_ group: RelayStore.Usage) -> JSONValue {
        [
            "group": .string(group.name), "entries": .int(group.entries),
            "bytes": .int(group.bytes), "appended": .int(group.head),
            "snapshots": .int(group.snapshots), "created_ms": .int(group.created),
            "used_ms": .int(group.used),
        ]
    }
}

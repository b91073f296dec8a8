// The control socket: lines of JSON from commands on this machine, answered on the loop.

internal import CausalModel
internal import Store
internal import Sync
internal import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Serves `control.sock`. Requests of one connection are answered in turn; those that follow or
/// wait stay open until they end or their asker goes.
final class ControlServer {
    private unowned let service: NodeService
    private var listener: Listener?
    private var clients: [ObjectIdentifier: Client] = [:]
    private var waiters: [Waiter] = []
    private var watchers: [Watcher] = []
    private var listings: [Listing] = []
    /// Whose `invite --nearby` runs.
    private var inviting: Client?

    private final class Client {
        let stream: Transport.Stream
        var lines = ControlLines(lineBytesMax: ControlLimits.requestBytesMax)
        init(_ stream: Transport.Stream) { self.stream = stream }
        func send(_ reply: ControlReply) { _ = stream.write(reply.line) }
    }

    /// A `wait` or `sync` that has not ended.
    private struct Waiter {
        let client: Client
        let isSync: Bool
        let startedAt: Milliseconds
        let deadline: Milliseconds?
        /// Changes that peers lacked, and rows that had come, when it began.
        let behindBefore: Int64
        let receivedBefore: Int
    }

    private struct Watcher {
        let client: Client
        var since: VersionVector
        let tables: Set<String>?
    }

    /// A `records` that has not come to its end.
    private struct Listing {
        let client: Client
        var listing: RecordListing
    }

    private static let changesPerPage = 1000
    private static let pageMilliseconds: UInt64 = 5
    private var feedTimer: Transport.Timer?

    static let syncMilliseconds: Milliseconds = 15_000
    /// Some thirty years: whoever asks for more waits as long as the node runs.
    private static let waitMillisecondsMax: Milliseconds = 1 << 40
    private static let pollMilliseconds: UInt64 = 25
    private var pollTimer: Transport.Timer?

    init(service: NodeService, path: String) throws {
        self.service = service
        listener = try service.loop.listen(unixPath: path) { [unowned self] in accept($0) }
    }

    func close() {
        service.endOpening(Self.stopping)
        for waiter in waiters { waiter.client.send(.error(Self.stopping)) }
        for listing in listings { listing.client.send(.error(Self.stopping)) }
        for watcher in watchers {
            watcher.client.send(.result(["since": .string(NodeContext.token(watcher.since))]))
        }
        waiters.removeAll()
        watchers.removeAll()
        listings.removeAll()
        for client in clients.values { client.stream.finish(timeout: 1000) }
        listener?.close()
    }

    private static let stopping = ControlError(.notRunning, "the node was stopped meanwhile")

    /// The socket's mode keeps other users out; this holds where a file system ignores modes, too.
    private func accept(_ stream: Transport.Stream) {
        guard let user = stream.peerUser, user == geteuid() || user == 0 else {
            return stream.close()
        }
        let client = Client(stream)
        clients[ObjectIdentifier(client)] = client
        stream.onRead = { [unowned self] bytes in read([UInt8](copying: bytes), client) }
        stream.onEnd = { stream.finish(timeout: 5000) }
        stream.onDrain = { [unowned self] in pump() }
        stream.onClose = { [unowned self] _ in forget(client) }
        stream.resumeReading()
    }

    private func forget(_ client: Client) {
        if inviting === client { service.endOpening(nil) }
        clients[ObjectIdentifier(client)] = nil
        waiters.removeAll { $0.client === client }
        watchers.removeAll { $0.client === client }
        listings.removeAll { $0.client === client }
    }

    private func read(_ bytes: [UInt8], _ client: Client) {
        do {
            client.lines.append(bytes)
            while let line = try client.lines.next() {
                answer(try ControlRequest(line: line), client)
            }
        } catch {
            client.send(.error(error))
            client.stream.finish(timeout: 1000)
        }
    }

    private func answer(_ request: ControlRequest, _ client: Client) {
        do {
            switch request.command {
            case "wait", "sync": beginWaiting(request, client)
            case "invite" where request.arguments["nearby"] == true:
                try service.open(request.arguments) { client.send($0) }
                inviting = client
            case "relay.join": try service.joinRelay(request.arguments) { client.send($0) }
            case "watch": try beginWatching(request, client)
            case "records":
                service.engine.noteStatements(service.now)
                let listing = try RecordListing(request.arguments, service.context) {
                    client.send($0)
                }
                listings.append(Listing(client: client, listing: listing))
                pump()
            default:
                let result = try service.answer(request) { client.send($0) }
                client.send(.result(result))
                // What the command wrote leaves at once.
                service.engine.storeChanged(now: service.now)
                service.loop.soon { [unowned service] in service.pump() }
            }
        } catch {
            service.noteIfDiskFailed(error)
            client.send(.error(ControlError.of(error)))
        }
    }

    // MARK: wait and sync

    private func beginWaiting(_ request: ControlRequest, _ client: Client) {
        let isSync = request.command == "sync"
        let now = service.now
        let timeout = request.arguments["timeout_ms"]?.int
        waiters.append(
            Waiter(
                client: client, isSync: isSync, startedAt: now,
                deadline: isSync
                    ? now + Self.syncMilliseconds
                    : timeout.map { now + max(0, min($0, Self.waitMillisecondsMax)) },
                behindBefore: Self.behind(service.peerFacts()),
                receivedBefore: service.rowsReceived))
        if isSync {
            service.engine.syncNow(now)
            service.relay.personAsked()
        }
        service.pump()
        poll()
    }

    /// Looks whether waits have come to their end; goes on while there are any.
    private func poll() {
        pollTimer?.cancel()
        guard !waiters.isEmpty else { return }
        let now = service.now
        let hasPeers = service.engine.connectedPeers > 0
        // Who has no peer at the moment has its rows where others find them once the log has them.
        let isSynced =
            service.engine.isSynced(now)
            && (hasPeers || service.relay.url != nil && service.relay.isSettled)
        let peers = service.peerFacts()
        let isSettled = peers.allSatisfy { $0.state != "connecting" && $0.state != "syncing" }
        // Of a reader nobody takes more, however long it is waited.
        let refused = (try? service.context.refusedChanges()).map { Int64(clamping: $0) } ?? 0
        waiters.removeAll { waiter in
            let isLate = waiter.deadline.map { now >= $0 } ?? false
            let isDone =
                waiter.isSync
                ? isSettled && (isSynced || now - waiter.startedAt > 500)
                : isSynced && !service.context.replica.isScanning
            guard isDone || isLate else { return false }
            let isWell = isDone && isSynced && refused == 0
            waiter.client.send(
                .result(
                    waiter.isSync
                        ? syncResult(waiter, peers, isWell, refused)
                        : waitResult(peers, isWell, refused, waited: now - waiter.startedAt)))
            return true
        }
        service.pump()
        guard !waiters.isEmpty else { return }
        pollTimer = service.loop.schedule(after: Self.pollMilliseconds) { [unowned self] in poll() }
    }

    private func waitResult(
        _ peers: [PeerFact], _ isSynced: Bool, _ refused: Int64, waited: Milliseconds
    ) -> JSONValue {
        let linked = peers.filter { $0.state == "connected" || $0.state == "syncing" }
        return [
            "synced": .bool(isSynced), "waited_ms": .int(waited), "refused": .int(refused),
            "peers": .int(Int64(linked.count)),
            "behind": .int(linked.compactMap(\.behind).max() ?? 0),
            "ahead": .int(linked.compactMap(\.ahead).max() ?? 0),
        ]
    }

    private static func behind(_ peers: [PeerFact]) -> Int64 {
        peers.compactMap(\.behind).reduce(0) { $0 &+ $1 }
    }

    private func syncResult(
        _ waiter: Waiter, _ peers: [PeerFact], _ isSynced: Bool, _ refused: Int64
    ) -> JSONValue {
        let linked = peers.filter { $0.state == "connected" || $0.state == "syncing" }
        let failed: [JSONValue] = peers.filter { $0.state != "connected" && $0.state != "syncing" }
            .map { peer in
                [
                    "node": JSONValue(optional: peer.node), "name": .string(peer.name),
                    "address": JSONValue(optional: peer.address),
                    "error": .string(
                        service.unseenRemedy(peer) ?? peer.lastError ?? "not reached"),
                    "never_seen": .bool(peer.isNeverSeen),
                ]
            }
        return [
            "synced": .bool(isSynced && failed.isEmpty), "peers": .int(Int64(linked.count)),
            "refused": .int(refused),
            "sent": .int(max(0, waiter.behindBefore - Self.behind(peers))),
            "received": .int(Int64(service.rowsReceived - waiter.receivedBefore)),
            "failed": .array(failed),
        ]
    }

    // MARK: watch

    private func beginWatching(_ request: ControlRequest, _ client: Client) throws {
        let names = (request.arguments["tables"]?.array ?? []).compactMap(\.string)
        let since =
            try request.arguments["since"]?.string.map { try NodeContext.vector(token: $0) }
            ?? service.context.replica.vector
        watchers.append(
            Watcher(
                client: client, since: since,
                tables: names.isEmpty ? nil : Set(names.map { $0.asciiLowercased })))
        service.engine.storeChanged(now: service.now)
        service.pump()
    }

    /// Feeds watchers and listings, each with a page at most, so that peers do not wait. A reader
    /// that does not keep up gets the rest later.
    func pump() {
        for index in watchers.indices
        where watchers[index].since != service.context.replica.vector {
            feed(&watchers[index])
        }
        for index in listings.indices.reversed()
        where listings[index].client.stream.isWritable && hasEnded(&listings[index]) {
            listings.remove(at: index)
        }
        let hasMore =
            listings.contains { $0.client.stream.isWritable }
            || watchers.contains {
                $0.since != service.context.replica.vector && $0.client.stream.isWritable
            }
        guard hasMore, feedTimer?.isActive != true else { return }
        feedTimer = service.loop.schedule(after: Self.pageMilliseconds) { [unowned self] in pump() }
    }

    private func feed(_ watcher: inout Watcher) {
        let client = watcher.client
        var left = Self.changesPerPage
        do {
            watcher.since = try service.context.changes(
                since: watcher.since, tables: watcher.tables,
                while: {
                    left -= 1
                    return left >= 0 && client.stream.isWritable
                }, reply: { client.send($0) })
        } catch { service.storeFailed(error) }
    }

    /// Sends a page of a listing; true when it was the last one.
    private func hasEnded(_ listing: inout Listing) -> Bool {
        let client = listing.client
        do {
            guard
                let result = try listing.listing.page(
                    of: service.context, reply: { client.send($0) })
            else { return false }
            client.send(.result(result))
        } catch let error as StoreError where error.isRetryable {
            return false
        } catch {
            service.noteIfDiskFailed(error)
            client.send(.error(ControlError.of(error)))
        }
        return true
    }
}

extension ControlError {
    /// Any error of a command, with the code that a script sees.
    static func of(_ error: any Error) -> ControlError {
        switch error {
        case let error as ControlError: error
        case let error as NodeError: ControlError(error.code, error.message)
        case let error as StoreError:
            ControlError(error.code == .notFound ? .notFound : .failed, error.message)
        default: ControlError(.failed, "\(error)")
        }
    }
}

extension String {
    /// As SQLite compares names.
    var asciiLowercased: String {
        String(
            decoding: utf8.map { (0x41...0x5a).contains($0) ? $0 + 0x20 : $0 }, as: UTF8.self)
    }
}

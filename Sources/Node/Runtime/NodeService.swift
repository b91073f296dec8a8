// The running node: one thread, one event loop, and on it the sessions, the store, the control
// socket and the watch on the database's folder. Everything else posts to it.

internal import Discovery
internal import Store
internal import Sync
internal import Transport
internal import Trust

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Takes connections once the node is ready for them.
private final class Acceptor {
    var accept: ((Transport.Stream) -> Void)?
}

/// One node in the foreground, until a signal or a failure ends it.
final class NodeService {
    let context: NodeContext
    let options: RunOptions
    let loop: EventLoop
    let engine: SyncEngine
    let log: Log
    var listener: Listener?
    var listenAddress: String?
    var connections: [LinkID: PeerConnection] = [:]
    var dials: [DialID: DialAttempt] = [:]
    private var timer: Transport.Timer?
    private var timerAt: Milliseconds = .max
    private var watches: [AnyObject] = []
    var control: ControlServer?
    private(set) lazy var relay = RelayService(service: self)
    let secure: SecureContext
    let strangers = Strangers()
    var guests: [ObjectIdentifier: Guest] = [:]
    var invitations: InvitationBook
    var opening: Opening?
    var announcements = Announcements()
    var discoveryProblem: ProblemFact?
    var storeProblem: ProblemFact?
    var journalProblem: ProblemFact?
    private var scanTimer: Transport.Timer?
    var derived: DerivedTables
    var rowsReceived = 0
    private var addresses = NetworkAddresses.current()
    /// Set by a program that embeds the node: called once it runs.
    var onReady: (() -> Void)?
    private let acceptor = Acceptor()
    private var failure: (any Error)?
    /// The last peer that was refused, or that refused, and when.
    private var refusal: (problem: ProblemFact, at: Milliseconds)?
    private static let refusalMillisecondsMax: Milliseconds = 10 * 60_000
    private var storeProbeAt: Milliseconds = 0
    private var storeProbeDelay = NodeService.storeProbeMilliseconds.lowerBound
    private static let storeProbeMilliseconds: ClosedRange<Milliseconds> = 1000...60_000
    private var savedPeers: [RememberedPeer] = []
    var absence = AbsenceWatch()
    var rest = Rest()
    private(set) var isStopping = false

    init(context: NodeContext, options: RunOptions) throws {
        self.context = context
        self.options = options
        log = Log(level: context.configuration.log)
        secure = try SecureContext(key: context.key)
        invitations = try InvitationBook(of: context.home)
        loop = try EventLoop()
        let gap = max(1, 1000 / context.configuration.sync.roundsPerSecond)
        var generator = SystemRandomNumberGenerator()
        listener = nil
        derived = DerivedTables(context.configuration.derivedInOrder)
        // The port is known before the engine is made: hello carries it.
        let bound = try NodeService.listen(loop, context.configuration, options, acceptor)
        listener = bound
        let address = bound.address
        listenAddress = address.description
        engine = SyncEngine(
            configuration: SyncConfiguration(
                node: context.identity.node, group: context.identity.group, name: context.name,
                run: generator.next(), listenPort: address.port ?? 0, pushGap: Milliseconds(gap)),
            replica: context.replica, random: { UInt64.random(in: .min ... .max) },
            isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
    }

    var now: Milliseconds { Milliseconds(loop.now) }

    // MARK: Start

    private static func listen(
        _ loop: EventLoop, _ configuration: Configuration, _ options: RunOptions,
        _ acceptor: Acceptor
    ) throws -> Listener {
        let wanted = options.listen ?? configuration.listen
        let accept: (Transport.Stream) -> Void = { acceptor.accept?($0) ?? $0.close() }
        do {
            return try loop.listen(host: wanted.host, port: wanted.port, accept)
        } catch let error as TransportError
            where error.code == .addressInUse && options.listen == nil
            && wanted.port == HostPort.portDefault
        {
            return try loop.listen(host: wanted.host, port: 0, accept)
        } catch let error as TransportError
            where error.code == .addressNotAvailable && wanted.host == "::" && options.listen == nil
        {
            // A machine without IPv6.
            return try loop.listen(host: "0.0.0.0", port: wanted.port, accept)
        }
    }

    /// Runs until SIGINT, SIGTERM or a failure that no retry mends.
    func run() throws {
        defer { _ = loop.close() }
        context.replica.busyMilliseconds = Store.Limits.busyOnLoopMilliseconds
        engine.onEvent = { [unowned self] in note($0) }
        watchMembers()
        membersChanged()
        try startAccepting()
        control = try ControlServer(service: self, path: context.home.socketPath)
        // Inside another program the signals are that program's.
        for signal in onReady == nil ? [SIGINT, SIGTERM, SIGHUP] : [] {
            watches.append(try loop.onSignal(signal) { [unowned self] in stop(nil) })
        }
        try watchDatabase()
        startPeers()
        startDiscovery()
        startTimers()
        let listening = listenAddress ?? "nowhere"
        log.info(
            "node \(context.name) (\(context.identity.node.prefix(8))) listens on \(listening)")
        for (_, problem) in context.replica.problems.sorted(by: { $0.key < $1.key }) {
            log.warning(problem)
        }
        context.onTrouble = { [unowned self] in storeFailed($0) }
        engine.storeChanged(now: now)
        pump()
        onReady?()
        loop.run()
        try finish()
    }

    private func startAccepting() throws {
        acceptor.accept = { [unowned self] stream in accept(stream) }
        listener?.onError = { [unowned self] error in
            if strangers.isWorthALine(now) { log.warning("\(error)") }
        }
    }

    private func watchDatabase() throws {
        let path = context.replica.path
        let name = Path.name(of: path)
        let folder = try loop.watch(folder: Path.parent(of: path)) { [unowned self] changed in
            if changed == name || changed == name + "-wal" { databaseChanged() }
        }
        watches.append(folder)
    }

    private func startPeers() {
        let cache = PeerCache(of: context.home)
        if let problem = cache.problem { log.warning(problem) }
        let remembered = cache.entries.map { entry in
            RememberedPeer(
                node: entry.node, name: entry.name,
                addresses: entry.addresses.map { PeerAddress(host: $0.host, port: $0.port) })
        }
        engine.updateBook(now) { book in
            book.restore(remembered)
            for peer in context.configuration.peers + options.peers {
                book.add(fixed: PeerAddress(host: peer.host, port: peer.port))
            }
        }
        savedPeers = engine.book.remembered
    }

    private func startTimers() {
        let interval = UInt64(max(1, context.configuration.sync.intervalSeconds)) * 1000
        watches.append(
            loop.schedule(after: interval, repeating: interval) { [unowned self] in
                engine.storeChanged(now: now)
                announcements.service?.setUnreached(unreachedInstances)
                pump()
            })
        watches.append(
            loop.schedule(after: 2000, repeating: 2000) { [unowned self] in housekeeping() })
    }

    // MARK: The round

    /// What follows every entry into the engine: dials, feeds, and the next wake-up.
    func pump() {
        guard !isStopping else { return }
        for dial in engine.takeDials(now) { begin(dial) }
        relay.pump()
        control?.pump()
        startScanning()
        if let deadline = engine.nextDeadline { wake(at: deadline) }
    }

    private func wake(at deadline: Milliseconds) {
        if let timer, timer.isActive, timerAt <= deadline { return }
        timer?.cancel()
        timerAt = deadline
        let delay = UInt64(max(0, deadline - now))
        timer = loop.schedule(after: delay) { [unowned self] in
            timerAt = .max
            engine.tick(now)
            pump()
        }
    }

    /// The file changes with every write of the node itself, too: that is no reason to look again.
    private func databaseChanged() {
        do { if try !context.replica.hasForeignCommit() { return } } catch { storeFailed(error) }
        engine.programWrote(now: now)
        pump()
    }

    /// Scans take turns with everything else, one short transaction at a time.
    private func startScanning() {
        guard scanTimer == nil, context.replica.isScanning else { return }
        scanTimer = loop.schedule(after: 1) { [unowned self] in
            scanTimer = nil
            do {
                try context.replica.scanSlice()
                if !context.replica.isScanning { log.info("all tables are read") }
            } catch { storeFailed(error) }
            engine.storeChanged(now: now)
            pump()
        }
    }

    /// A new address is a new chance: connections are probed, peers dialled and looked for.
    private func watchNetwork() {
        let present = NetworkAddresses.current()
        guard present != addresses else { return }
        addresses = present
        log.info("the addresses of this machine changed")
        engine.networkChanged(now)
        relay.networkChanged()
        restartDiscovery()
        pump()
    }

    private func housekeeping() {
        watchNetwork()
        if context.marker.isFileReplaced() {
            stop(
                NodeError(
                    .failed,
                    "the database \(context.replica.path) was replaced while the node ran: start "
                        + "the node again, it goes on under a new origin"))
            return
        }
        do {
            journalProblem = try context.replica.journalModeProblem().map {
                ProblemFact(code: "journal_mode", message: $0, state: "fail")
            }
            try context.replica.checkpointIfSafe()
        } catch { storeFailed(error) }
        probeStore()
        runDerived()
        savePeers()
        evictAbsent()
        restIfQuiet()
    }

    /// Shown for a while: those who knock are in no list of peers.
    var refusalProblem: ProblemFact? {
        refusal.flatMap { now - $0.at < Self.refusalMillisecondsMax ? $0.problem : nil }
    }

    // MARK: Trouble with the store

    func storeFailed(_ error: any Error) {
        if (error as? StoreError)?.isRetryable == true { return }
        noteStoreProblem("\(error)")
    }

    /// Who asked is told anyway; a disk that fails is everybody's business.
    func noteIfDiskFailed(_ error: any Error) {
        let code = (error as? StoreError)?.code
        if code == .disk || code == .damaged { storeFailed(error) }
    }

    /// Said aloud once, and not again every time it is tried.
    private func noteStoreProblem(_ message: String) {
        guard storeProblem?.message != message else { return }
        storeProblem = ProblemFact(code: "store", message: message, state: "fail")
        storeProbeAt = now + storeProbeDelay
        log.error(message)
    }

    /// Looks whether the trouble is over; the first looks are quick, so that a disk with room again
    /// is used at once.
    private func probeStore() {
        guard storeProblem != nil, now >= storeProbeAt else { return }
        storeProbeDelay = min(storeProbeDelay * 2, Self.storeProbeMilliseconds.upperBound)
        storeProbeAt = now + storeProbeDelay
        do {
            try context.marker.prove(context.replica)
            storeProblem = nil
            log.info("the database can be written again")
            engine.syncNow(now)
            pump()
        } catch { storeFailed(error) }
    }

    func note(_ event: SyncEvent) {
        switch event {
        case .connected(let node, let name): log.info("connected with \(name) (\(node.prefix(8)))")
        case .disconnected(let node, let reason):
            log.info("lost \(node.prefix(8)): \(reason)")
            announcements.lookAgain(node)
        case .refused(let node, let address, let reason):
            let text = "refused \(node?.prefix(8) ?? address?[...] ?? "a connection"): \(reason)"
            log.warning(text)
            refusal = (ProblemFact(code: "refused", message: text), now)
        case .applied(_, let rows, let hasChanged):
            rowsReceived += rows
            if hasChanged || rows > 0 { derived.noteChange() }
            storeProblem = nil
            storeProbeDelay = Self.storeProbeMilliseconds.lowerBound
        case .divergence(let node):
            log.error("the contents differ from those of \(node.prefix(8)) at equal vectors")
        case .agreement: break
        case .author(let node, let origin):
            do {
                try context.replica.noteAuthor(origin, node: node)
                context.members.sortOrigins()
            } catch { storeFailed(error) }
        case .joining, .joined: noteStanding(event)
        case .newOrigin(let reason): log.warning("continues under a new origin: \(reason)")
        case .collected(let rows):
            log.info("\(rows) deleted rows that all members have seen are gone for good")
        case .reissued(let rows):
            log.warning(
                "\(rows) rows that peers had half received before this file was restored are issued again"
            )
        case .storeTrouble(let reason): noteStoreProblem(reason)
        }
    }

    private func runDerived() {
        do { try derived.rebuildIfDue(context.replica, log: log) } catch { storeFailed(error) }
    }

    private func savePeers() {
        let remembered = engine.book.remembered
        guard remembered != savedPeers else { return }
        savedPeers = remembered
        var cache = PeerCache(of: context.home)
        for peer in remembered {
            for address in peer.addresses.reversed() {
                cache.note(
                    node: peer.node, name: peer.name,
                    address: HostPort(host: address.host, port: address.port),
                    nowMilliseconds: WallClock.milliseconds())
            }
        }
        do { try cache.save(to: context.home) } catch {
            log.warning("cannot remember peers: \(error)")
        }
    }

    // MARK: End

    /// Ends the run: goodbyes are sent, then the loop stops.
    func stop(_ error: (any Error)?) {
        guard !isStopping else { return }
        isStopping = true
        failure = error
        engine.shutDown(now)
        relay.close()
        control?.close()
        listener?.close()
        announcements.service?.stop()
        // Goodbyes get a moment to leave.
        _ = loop.schedule(after: 100) { [unowned self] in loop.stop() }
    }

    private func finish() throws {
        // At the end nothing else waits.
        context.replica.busyMilliseconds = Store.Limits.busyMilliseconds
        defer { _ = unlink(context.home.socketPath) }
        savePeers()
        if let failure { throw failure }
        do { try context.replica.fold() } catch let error as StoreError where error.isRetryable {
            // Nothing is lost: the journal is in the file.
            log.warning("a program holds the database; what it writes is read at the next start")
        }
        try context.close()
        log.info("stopped")
    }
}

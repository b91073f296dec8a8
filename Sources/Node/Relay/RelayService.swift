// The node's forwarder at work: requests go out over HTTP, answers come back to the node's loop, and what
// fails is tried again as the retry engine says.

internal import RelayClient
internal import RelayProtocol
internal import Store
internal import Sync
internal import Transport

/// The group's relay, as the running node uses it. All of it runs on the node's loop.
final class RelayService {
    unowned let service: NodeService
    private var connection: RelayConnection?
    private var http: HTTPClient?
    private(set) var forwarder: Forwarder?
    private(set) var seal: NodeSeal?
    /// What the parts above were made for.
    private var place: (url: String, secret: [UInt8])?
    private(set) var problem: String?
    private(set) var retry = RetryEngine()
    private(set) var verdict = ConditionVerdict.go(lookAgainAfterSeconds: 0)
    private var lookAt: Int64 = 0
    private var underWay: [UInt64: (id: HTTPRequestID, isUpload: Bool, since: Int64)] = [:]
    private var seen: ReplicaSummary?
    private var timer: Transport.Timer?
    private var timerAt: Int64 = .max
    private var isTurnPlanned = false
    var hasApplied = false
    /// The relay has answered since this node began to use it.
    private var hasAnswered = false
    var hasNewKeys = false
    /// Members, grants or keys changed since all was as it should be.
    private var areKeysUnsettled = true
    /// Epochs whose credentials the relay refused, since it took one last.
    private var refusedCredentials: Set<EpochID> = []
    private var usedCredential: EpochID?
    private var grantsAt: Int64?
    private var epochAt: Int64?
    private static let appendMilliseconds: Int64 = 20
    /// An upload that takes longer may have stalled.
    private static let uploadMilliseconds: Int64 = 30_000
    private static let grantMilliseconds: ClosedRange<Int64> = 30_000...90_000
    private static let epochMilliseconds: ClosedRange<Int64> = 5_000...30_000

    init(service: NodeService) { self.service = service }

    var context: NodeContext { service.context }
    var settings: Configuration.Relay { context.configuration.relay }
    var keys: GroupKeys { context.keys }
    var now: Int64 { service.now }

    /// The group's relay; nil while it has none.
    var url: String? { keys.table.secret == nil ? nil : keys.table.url }

    // MARK: Start and end

    /// Looks at what the group shares about its relay: it may have another, or new keys.
    func look() {
        do {
            let hasChanged = try keys.table.look()
            if hasChanged { areKeysUnsettled = true }
            if hasChanged, let secret = keys.table.secret, try keys.openGrants(secret) {
                hasNewKeys = true
            }
        } catch { service.storeFailed(error) }
        let wanted = url.flatMap { url in keys.table.secret.map { (url, $0.bytes) } }
        if wanted?.0 != place?.url || wanted?.1 != place?.secret {
            close()
            if let wanted { start(url: wanted.0, secret: wanted.1) }
        }
        if hasNewKeys {
            hasNewKeys = false
            takeKeys()
        }
    }

    private func start(url: String, secret: [UInt8]) {
        place = (url, secret)
        problem = nil
        guard settings.forward, let secret = GroupSecret(secret) else { return }
        do {
            let (http, connection) = try Self.connect(
                url, secret, settings, home: context.home.path)
            let seal = NodeSeal(
                secret: secret, keys: keys, members: context.members, key: context.key)
            let forwarder = try Forwarder(
                node: context.identity.node, replica: context.replica, seal: seal,
                log: secret.relayGroup.bytes + Array(url.utf8),
                random: { UInt64.random(in: .min ... .max) },
                isRetryable: { ($0 as? StoreError)?.isRetryable ?? false })
            prepare(forwarder, secret)
            self.http = http
            self.connection = connection
            self.seal = seal
            self.forwarder = forwarder
            service.log.info("forwards to the relay \(url)")
        } catch {
            problem = "the relay \(url) cannot be used: \(error)"
            service.log.warning(problem ?? "")
        }
    }

    func close() {
        for request in underWay.values { connection?.cancel(request.id) }
        underWay = [:]
        http?.close()
        http = nil
        connection = nil
        forwarder = nil
        seal = nil
        place = nil
        seen = nil
        timer?.cancel()
        timerAt = .max
        retry = RetryEngine()
        hasAnswered = false
        refusedCredentials = []
        usedCredential = nil
        service.engine.setForwards(false, now: now)
    }

    // MARK: The round

    /// Does one piece of work, sends what is due, and plans the next look.
    func pump() {
        look()
        guard let forwarder, !service.isStopping else { return }
        if let own = service.engine.own, own != seen {
            seen = own
            forwarder.replicaChanged(own)
        }
        // Who waits for a copy and meets nobody asks for it in the log.
        let isWaiting = context.replica.isJoining && !context.replica.isSettling
        guard isWaiting || service.engine.takesPart else {
            return service.engine.setForwards(false, now: now)
        }
        // A relay takes fifty requests a second of a group unless configured; each append wakes every reader.
        forwarder.limits.appendMilliseconds =
            Self.appendMilliseconds * Int64(2 + context.members.byNode.count)
        let isWorking = !isWaiting && isWorking(forwarder)
        service.engine.setForwards(isWorking, now: now)
        forwarder.isStandingBy =
            isWorking
            && service.engine.forwardingPeers.contains { $0 < context.identity.node }
        let hasWorked = forwarder.work(now)
        if hasApplied {
            hasApplied = false
            service.engine.storeChanged(now: now)
        }
        if hasNewKeys {
            hasNewKeys = false
            takeKeys()
        }
        if let other = forwarder.takeOutdated() {
            service.engine.foundOutdated(by: other, now: now)
            return planTurn()
        }
        if hasWorked { return planTurn() }
        if !isWaiting { settleKeys(forwarder) }
        guard mayGo() else { return planTimer() }
        for request in forwarder.takeRequests(now) { send(request) }
        planTimer()
    }

    /// Whether others on this network may leave the relay to this node.
    private func isWorking(_ forwarder: Forwarder) -> Bool {
        hasAnswered && retry.facts(at: now).failuresInRow == 0 && retry.mayTry(at: now)
            && verdict.mayGo && forwarder.trouble == nil && seal?.missing.isEmpty == true
            && context.members.ownRole == .writer
    }

    /// The loop gets the thread back between two pieces.
    private func planTurn() {
        guard !isTurnPlanned else { return }
        isTurnPlanned = true
        service.loop.soon { [unowned self] in
            isTurnPlanned = false
            service.pump()
        }
    }

    private func planTimer() {
        guard let forwarder else { return }
        var due: Int64 = min(grantsAt ?? .max, epochAt ?? .max)
        if verdict.mayGo, retry.mayTry(at: now) {
            due = min(due, forwarder.nextDeadline(now) ?? .max)
        } else {
            due = min(due, max(lookAt, retry.nextTry ?? 0))
        }
        guard due < .max else { return }
        if let timer, timer.isActive, timerAt <= due { return }
        timer?.cancel()
        timerAt = due
        timer = service.loop.schedule(after: UInt64(max(1, due - now))) { [unowned self] in
            timerAt = .max
            service.pump()
        }
    }

    /// Whether a request may leave now, by this node's conditions and by what the last ones met.
    private func mayGo() -> Bool {
        if now >= lookAt {
            let wall = WallClock.milliseconds() / 1000
            verdict = settings.conditions.evaluate(SurroundingsReader().read(wallSeconds: wall))
            lookAt = now + Int64(max(1, verdict.lookAgainAfterSeconds)) * 1000
        }
        return verdict.mayGo && retry.mayTry(at: now)
    }

    // MARK: Requests

    private func send(_ request: LogRequest) {
        guard let connection, let secret = keys.table.secret else { return }
        let credential = credential(secret)
        let boxed = LoopBound(self, on: service.loop)
        let mailbox = service.loop.mailbox
        @Sendable func done(_ result: Result<LogReply, RelayFailure>) {
            mailbox.post { _ in boxed.value.answered(request, result) }
        }
        let id: HTTPRequestID?
        switch request.kind {
        case .sync(let after, let wait, let entries):
            id = connection.sync(credential, after: after, waitSeconds: wait, entries: entries) {
                done($0.map { .synced($0) })
            }
        case .getSnapshot(let previous):
            id = connection.snapshot(
                credential, previous: previous, bytesMax: forwarder?.limits.snapshotBytesMax ?? 0
            ) { result in
                done(
                    result.map { found in
                        found.map { .snapshot(covers: $0.covers, bytes: $0.bytes) }
                            ?? .refused(.noSnapshot)
                    })
            }
        case .putSnapshot(let covers, let bytes):
            id = connection.putSnapshot(credential, covers: covers, bytes: bytes) {
                done($0.map { .stored })
            }
        }
        if let id {
            underWay[request.id] = (id, request.isUpload, now)
        } else {
            forwarder?.answered(request.id, .failed, now: now)
        }
    }

    private func answered(_ request: LogRequest, _ result: Result<LogReply, RelayFailure>) {
        // Of a connection that was given up.
        guard underWay.removeValue(forKey: request.id) != nil, let forwarder else { return }
        switch result {
        case .success(let reply):
            retry.succeeded()
            hasAnswered = true
            refusedCredentials = []
            if let usedCredential {
                do { try keys.note(credential: usedCredential) } catch {
                    service.log.warning("\(error)")
                }
            }
            forwarder.answered(request.id, reply, now: now)
        case .failure(let failure):
            forwarder.answered(
                request.id, failure.reason.map { .refused($0) } ?? .failed, now: now)
            if failure.reason == .unauthorized, tryNextCredential() { break }
            retry.failed(
                failure, now: now,
                jitter: Int64.random(in: 0...RelayClientLimits.jitterMilliseconds))
            service.log.debug("the relay: \(failure.text)")
        }
        service.pump()
    }

    // MARK: Credentials

    /// That of the epoch which the relay took last; the group's first, before it took any.
    private func credential(_ secret: GroupSecret) -> Credential {
        let held = keys.held(secret).filter { !refusedCredentials.contains($0.id) }
        let epoch =
            held.first { $0.id == keys.book.credential } ?? held.max { $0.id < $1.id }
            ?? secret.baseEpoch
        let chosen =
            keys.book.credential == nil && refusedCredentials.isEmpty ? secret.baseEpoch : epoch
        usedCredential = chosen.id
        return chosen.credential(in: secret)
    }

    /// The credential may have been changed by a member: those of the other epochs are tried.
    private func tryNextCredential() -> Bool {
        guard let usedCredential, let secret = keys.table.secret else { return false }
        refusedCredentials.insert(usedCredential)
        return keys.held(secret).contains { !refusedCredentials.contains($0.id) }
    }

    // MARK: Keys

    private func takeKeys() {
        areKeysUnsettled = true
        refusedCredentials = []
        forwarder?.trustChanged()
        service.log.info("a new key of the group is here")
    }

    /// The members changed: who could not be opened before may be now, and newcomers need keys.
    func membersChanged() {
        guard let forwarder else { return }
        if let secret = keys.table.secret {
            do { try keys.openGrants(secret) } catch { service.storeFailed(error) }
        }
        areKeysUnsettled = true
        forwarder.trustChanged()
    }

    /// Gives keys to members that lack them, and tells the log of grants that it does not have.
    private func settleKeys(_ forwarder: Forwarder) {
        let isDue = min(grantsAt ?? .max, epochAt ?? .max) <= now
        guard let secret = keys.table.secret, areKeysUnsettled || isDue else { return }
        do {
            try keys.grantMissing(secret, onlyIntroduced: true)
            grantsAt = try settle(
                grantsAt, isDue: !keys.ungranted(secret).isEmpty, Self.grantMilliseconds
            ) { try keys.grantMissing(secret, onlyIntroduced: false) }
            epochAt = try settle(
                epochAt,
                isDue: context.members.ownRole == .writer
                    && keys.isCurrentKnownToRemoved(secret), Self.epochMilliseconds
            ) { try keys.beginEpoch() }
            let fresh = keys.unannounced()
            areKeysUnsettled = !fresh.isEmpty
            guard !fresh.isEmpty, forwarder.canAppendGrants else { return }
            try forwarder.append(grants: fresh.map(\.bytes))
        } catch { service.storeFailed(error) }
    }

    /// Does something after a random time, unless somebody else has done it by then.
    private func settle(
        _ due: Int64?, isDue: Bool, _ range: ClosedRange<Int64>, _ body: () throws -> Void
    ) throws -> Int64? {
        guard isDue else { return nil }
        guard let due else { return now + Int64.random(in: range) }
        guard due <= now else { return due }
        try body()
        return nil
    }

    // MARK: What happens around

    /// A person wants it now: what waits is tried at once.
    func personAsked() { reset(by: .person) }

    /// Addresses of this machine changed, which may be the network's return.
    func networkChanged() { reset(by: .network) }

    private func reset(by cause: RetryEngine.ResetCause) {
        retry.reset(by: cause)
        forwarder?.tryAtOnce()
        refusedCredentials = []
        lookAt = 0
        // A connection may have died without a sign, and TCP tries ever later: what waits is asked anew.
        for (number, request) in underWay {
            let isYoung = now - request.since < Self.uploadMilliseconds
            if cause == .person, request.isUpload, isYoung { continue }
            connection?.cancel(request.id)
            underWay[number] = nil
            forwarder?.answered(number, .failed, now: now)
        }
    }
}

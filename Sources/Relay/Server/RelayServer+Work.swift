// What workers do for each kind of request.

internal import RelayProtocol
internal import Synchronization
internal import Trust

extension RelayServer {
    /// Work whose failure refuses the request.
    private func work(
        _ exchange: Exchange, isRepeatable: Bool = true, group: GroupName? = nil,
        _ run: @escaping @Sendable (RelayStore) throws -> @Sendable () -> Void
    ) -> Work {
        Work(
            isRepeatable: isRepeatable, group: group, run: run,
            fail: { error in self.refuse(exchange, error) })
    }

    // MARK: Sync

    /// The group proves itself before its body is received. The connection is suspended meanwhile.
    func introduce(_ exchange: Exchange, _ request: RelayRequest) {
        guard let access = request.access else { return }
        exchange.introduce()
        hold(exchange)
        if case .putSnapshot(let covers, let size) = request.kind {
            writers.add(
                work(exchange, isRepeatable: false) { store in
                    let made = try store.beginSnapshot(
                        access.name, digest: access.digest, covers: covers, size: size)
                    exchange.begin(Exchange.Upload(snapshot: made.id, group: made.group))
                    return { self.goOn(exchange) }
                })
        } else {
            readers.add(
                work(exchange) { store in
                    _ = try store.group(access.name, digest: access.digest)
                    return { self.goOn(exchange) }
                })
        }
    }

    /// HTTP receives more of the body.
    private func goOn(_ exchange: Exchange) {
        let now = RelayClock.monotonicMilliseconds()
        let idle = Int64(configuration.connections.idleSeconds) * 1000
        table.set(exchange.connection, deadline: now + idle, isReceiving: true)
        exchange.resume()
    }

    func append(_ body: [UInt8], _ exchange: Exchange, _ request: RelayRequest) {
        guard let access = request.access, case .sync(let after, _) = request.kind else { return }
        writers.add(
            work(exchange, group: access.name) { store in
                let entries: [LogEntry]
                do throws(FramingError) { entries = try Framing.entries(ofRequest: body) } catch {
                    throw RelayError(.badRequest, "\(error.description); see the protocol's page")
                }
                guard !entries.isEmpty else { return { self.read(exchange, request) } }
                let appended = try store.append(
                    entries, to: access.name, digest: access.digest, after: after)
                return { self.appended(appended, exchange, request) }
            })
    }

    private func appended(
        _ appended: RelayStore.Appended, _ exchange: Exchange, _ request: RelayRequest
    ) {
        if appended.newCount > 0 {
            metrics.count {
                $0.appendedEntries += appended.newCount
                $0.appendedBytes += appended.newBytes
            }
            bell?.ring(appended.group)
            wake(appended.group)
        }
        guard let access = request.access, case .sync(let after, _) = request.kind else { return }
        readers.add(
            work(exchange) { store in
                var (_, answer) = try store.read(
                    access.name, digest: access.digest, after: after, own: appended.numbers)
                answer.outcomes = appended.outcomes
                let reading = Reading(answer)
                return { self.finish(exchange, reading) }
            }, isUrgent: true)
    }

    /// A reader without entries of its own.
    func read(_ exchange: Exchange, _ request: RelayRequest) {
        guard let access = request.access, case .sync(let after, let seconds) = request.kind
        else { return }
        let deadline = RelayClock.monotonicMilliseconds() + Int64(seconds) * 1000
        readers.add(
            work(exchange) { store in
                let (group, answer) = try store.read(
                    access.name, digest: access.digest, after: after)
                let reading = Reading(answer)
                guard reading.count == 0, seconds > 0, !self.isStopping else {
                    return { self.finish(exchange, reading) }
                }
                let waiter = Waiters.Waiter(
                    exchange: exchange, group: group, position: answer.position,
                    deadline: deadline)
                try self.park(waiter, store)
                return {}
            })
    }

    /// Parks a reader; looks once more, since an append may have come before.
    private func park(_ waiter: Waiters.Waiter, _ store: RelayStore) throws {
        waiters.park(waiter)
        do {
            let head = try store.heads([waiter.group])[waiter.group]
            if head == nil || (head ?? 0) > waiter.position.number { wake(waiter.group) }
        } catch {
            // Whoever took it meanwhile answers.
            if waiters.take(waiter.exchange, of: waiter.group) { throw error }
        }
        // Nobody looks after parked readers any more.
        if isStopping, waiters.take(waiter.exchange, of: waiter.group) { answerEmpty(waiter) }
    }

    /// Reads once for all waiters that are at the same place.
    func readings(_ woken: [Waiters.Waiter]) -> Work {
        Work(
            run: { store in
                var known: [Place: Result<Reading, RelayError>] = [:]
                var answers: [(Waiters.Waiter, Result<Reading, RelayError>)] = []
                for waiter in woken {
                    guard let access = waiter.exchange.request?.access else { continue }
                    let place = Place(access: access, position: waiter.position)
                    let result =
                        known[place]
                        ?? Result {
                            Reading(
                                try store.read(
                                    access.name, digest: access.digest, after: waiter.position
                                ).answer)
                        }.mapError { RelayError($0) }
                    // A store that is away fails all of it, which is done again on another connection.
                    if case .failure(let error) = result, error.reason == .unavailable {
                        throw error
                    }
                    known[place] = result
                    answers.append((waiter, result))
                }
                return { [answers] in
                    for (waiter, result) in answers { self.answer(waiter, result) }
                }
            },
            fail: { error in
                for waiter in woken { self.refuse(waiter.exchange, error) }
            })
    }

    private func answer(_ waiter: Waiters.Waiter, _ result: Result<Reading, RelayError>) {
        switch result {
        case .success(let reading) where reading.count == 0 && !isStopping:
            waiters.park(waiter)
        case .success(let reading): finish(waiter.exchange, reading)
        case .failure(let error): refuse(waiter.exchange, error)
        }
    }

    /// Its time is over.
    func answerEmpty(_ waiter: Waiters.Waiter) {
        let answer = SyncAnswer(
            outcomes: [], items: [], hasMore: false, position: waiter.position)
        finish(waiter.exchange, Reading(answer))
    }

    private func finish(_ exchange: Exchange, _ reading: Reading) {
        metrics.count {
            $0.readEntries += reading.count
            $0.readBytes += reading.contentBytes
        }
        finish(exchange, .framed(reading.bytes))
    }

    /// An answer, encoded once.
    private struct Reading: Sendable {
        let bytes: AnswerBytes
        let count: Int
        let contentBytes: Int

        init(_ answer: SyncAnswer) {
            bytes = AnswerBytes(answer.encoded)
            count = answer.items.count
            contentBytes = answer.items.reduce(0) { sum, item in
                if case .entry(let entry) = item { sum + entry.content.count } else { sum }
            }
        }
    }

    private struct Place: Hashable {
        var access: RelayRequest.Access
        var position: LogPosition
    }

    // MARK: Groups

    func enrol(_ exchange: Exchange, _ request: RelayRequest, _ token: [UInt8]?) {
        guard let access = request.access else { return }
        let isOpen = configuration.isOpen
        writers.add(
            work(exchange) { store in
                let isNew = try store.enrol(
                    access.name, digest: access.digest, isOpen ? .open : .token(token))
                return { self.finish(exchange, .text(isNew ? 201 : 200, "enrolled\n")) }
            })
    }

    func rotate(_ body: [UInt8], _ exchange: Exchange, _ request: RelayRequest) {
        guard let access = request.access else { return }
        var text = String(decoding: body, as: UTF8.self)
        if text.hasSuffix("\n") { text.removeLast() }
        guard let next = Credential(text: text) else {
            let error = RelayError(
                .badRequest, "the body is the next credential: 64 lower-case hexadecimal digits")
            refuse(exchange, error)
            return
        }
        writers.add(
            work(exchange, isRepeatable: false) { store in
                try store.rotate(access.name, digest: access.digest, to: sha256(next.bytes))
                return { self.finish(exchange, .text(200, "changed\n")) }
            })
    }

    // MARK: Snapshots

    func add(_ piece: [UInt8], _ exchange: Exchange) {
        guard let next = exchange.nextPiece() else { return }
        hold(exchange)
        writers.add(
            work(exchange, isRepeatable: false) { store in
                try store.addPiece(
                    piece, number: next.number, to: next.upload.snapshot, of: next.upload.group)
                return {
                    self.letGo(exchange, bytes: piece.count)
                    self.goOn(exchange)
                }
            })
    }

    func finishSnapshot(_ rest: [UInt8], _ exchange: Exchange) {
        let grace = Int64(configuration.graceSeconds) * 1000
        guard let next = exchange.nextPiece() else {
            refuse(exchange, RelayError(.failed, "the snapshot was not begun"))
            return
        }
        writers.add(
            work(exchange, isRepeatable: false) { store in
                let upload = next.upload
                if !rest.isEmpty {
                    try store.addPiece(
                        rest, number: next.number, to: upload.snapshot, of: upload.group)
                }
                try store.finishSnapshot(
                    upload.snapshot, of: upload.group, graceMilliseconds: grace)
                return {
                    exchange.finishUpload()
                    self.finish(exchange, .text(201, "stored\n"))
                }
            })
    }

    func drop(_ upload: Exchange.Upload) {
        writers.add(
            Work(
                run: { store in
                    try store.dropSnapshot(upload.snapshot)
                    return {}
                }, fail: { _ in }), isUrgent: true)
    }

    func findSnapshot(_ exchange: Exchange, _ request: RelayRequest, _ previous: Bool) {
        guard let access = request.access else { return }
        readers.add(
            work(exchange) { store in
                let snapshot = try store.snapshot(
                    access.name, digest: access.digest, previous: previous)
                let answer = RelayAnswer(
                    status: 200,
                    headers: [
                        ("Content-Type", "application/octet-stream"),
                        ("Starling-Covers", snapshot.covers.text),
                    ], body: .snapshot(snapshot))
                return { self.finish(exchange, answer) }
            })
    }

    func load(_ number: Int64, of download: Download) {
        readers.add(
            Work(
                run: { store in
                    let piece = try store.piece(number, of: download.snapshot.id)
                    return {
                        download.loaded(piece, number: number)
                        download.exchange.resume()
                    }
                },
                fail: { _ in
                    download.loaded(nil, number: number)
                    download.exchange.resume()
                }), isUrgent: true)
    }

    // MARK: The operator

    func checkHealth(_ exchange: Exchange) {
        readers.add(
            work(exchange) { store in
                try store.check()
                return { self.finish(exchange, .text(200, "ok\n")) }
            })
    }

    private static let totalsMilliseconds: Int64 = 15_000

    func describe(_ exchange: Exchange) {
        let now = RelayClock.monotonicMilliseconds()
        let isFresh = state.withLock { $0.totalsMoment > now - Self.totalsMilliseconds }
        let answer: @Sendable () -> Void = { [self] in
            let (totals, bodyBytes) = state.withLock { ($0.totals, $0.bodyBytes) }
            let gauges = RelayMetrics.Gauges(
                waiting: waiters.count, connections: table.count, bodyBytes: bodyBytes,
                isBellHeard: bell?.isHeard, groups: totals?.groups, entries: totals?.entries,
                bytes: totals?.bytes)
            var page = RelayAnswer.text(200, metrics.text(gauges))
            page.headers = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]
            finish(exchange, page)
        }
        if isFresh {
            answer()
            return
        }
        readers.add(
            Work(
                run: { store in
                    let totals = try store.totals()
                    self.state.withLock {
                        $0.totals = totals
                        $0.totalsMoment = now
                    }
                    return answer
                }, fail: { _ in answer() }))
    }
}

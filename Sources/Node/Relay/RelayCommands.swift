// `relay join`, `relay leave`, and how things stand with the relay.

internal import CausalModel
internal import RelayClient
internal import RelayProtocol
internal import Store
internal import Sync
internal import Transport

extension NodeService {
    /// `relay join`: enrols the group at a relay, and shares the relay with all members. Answers later.
    func joinRelay(
        _ arguments: JSONObject, reply: @escaping (ControlReply) -> Void
    ) throws {
        guard context.members.ownRole == .writer else {
            throw NodeError(.refused, "this node is no writer of its group: let a writer do it")
        }
        let table = context.keys.table
        guard let url = arguments["url"]?.string ?? table.url else {
            throw NodeError(.usage, "name the relay: `starling relay join URL`")
        }
        let address: RelayAddress
        do { address = try RelayAddress(url) } catch {
            throw NodeError(.usage, "\(error)")
        }
        try table.look()
        let secret = table.secret ?? GroupSecret()
        let (http, connection) = try RelayService.connect(
            address.text, secret, context.configuration.relay, home: context.home.path)
        let epoch = context.keys.current(secret)
        let boxed = LoopBound(JoiningRelay(self, http, address.text, secret, reply), on: loop)
        let mailbox = loop.mailbox
        connection.enrol(
            epoch.credential(in: secret), token: arguments["token"]?.string
        ) { result in
            mailbox.post { _ in boxed.value.ended(result, epoch.id) }
        }
    }

    func leaveRelay() throws -> JSONValue {
        guard context.members.ownRole == .writer else {
            throw NodeError(
                .refused,
                "this node is no writer of its group: let a writer do it, or set \"forward\" of \"relay\" to "
                    + "false in \(context.home.configurationPath) for this node alone")
        }
        let url = context.keys.table.url
        try context.keys.table.leave()
        pump()
        return ["url": JSONValue(optional: url), "action": url == nil ? "none" : "left"]
    }
}

/// An enrolment that is under way.
private final class JoiningRelay {
    private weak var service: NodeService?
    private let http: HTTPClient
    private let url: String
    private let secret: GroupSecret
    private let reply: (ControlReply) -> Void

    init(
        _ service: NodeService, _ http: HTTPClient, _ url: String, _ secret: GroupSecret,
        _ reply: @escaping (ControlReply) -> Void
    ) {
        self.service = service
        self.http = http
        self.url = url
        self.secret = secret
        self.reply = reply
    }

    func ended(_ result: Result<RelayConnection.Enrolment, RelayFailure>, _ epoch: EpochID) {
        http.close()
        guard let service, !service.isStopping else { return }
        do {
            switch result {
            case .failure(let failure): throw Self.error(failure, url)
            case .success(let enrolment):
                let table = service.context.keys.table
                try table.look()
                try table.join(url: url, secret: secret)
                try service.context.keys.note(credential: epoch)
                let isKnown = if case .known = enrolment { true } else { false }
                reply(
                    .result([
                        "url": .string(url), "action": .string(isKnown ? "known" : "enrolled"),
                        "encrypted": .bool(url.hasPrefix("https:")),
                    ]))
            }
        } catch { reply(.error(ControlError.of(error))) }
        service.engine.storeChanged(now: service.now)
        service.pump()
    }

    private static func error(_ failure: RelayFailure, _ url: String) -> NodeError {
        switch failure.reason {
        case .tokenNeeded?:
            NodeError(
                .refused,
                "the relay \(url) enrols with a token only: ask who runs it (`starling relay token` there), "
                    + "and give it with --token-file")
        case .taken?:
            NodeError(
                .refused,
                "the relay \(url) has this group with another credential: let a member that uses the "
                    + "relay meet this node on one network first")
        default: NodeError(.failed, "the relay \(url): \(failure.text)")
        }
    }
}

extension RelayService {
    /// How things stand, for `status`; null while the group has no relay.
    var facts: JSONValue {
        guard let url else { return .null }
        let wall = WallClock.milliseconds()
        let retried = retry.facts(at: service.now)
        let refused = forwarder?.refused ?? [:]
        var counts = JSONObject()
        for reason in LogRefusal.allCases {
            if let count = refused[reason], count > 0 {
                counts.append(reason.rawValue, .int(Int64(count)))
            }
        }
        let changes = Int64(clamping: forwarder?.queuedChanges ?? 0)
        return [
            "url": .string(url), "state": .string(state), "reason": JSONValue(optional: reason),
            "queued_changes": .int(changes),
            "queued_bytes": .int(Int64(forwarder?.queuedBytes ?? 0)),
            "caught_up": .bool(forwarder?.isCaughtUp ?? false),
            "appended": .int(Int64(forwarder?.appended.entries ?? 0)),
            "appended_bytes": .int(Int64(forwarder?.appended.bytes ?? 0)),
            "received": .int(Int64(forwarder?.received.entries ?? 0)),
            "received_bytes": .int(Int64(forwarder?.received.bytes ?? 0)),
            "failures": .int(Int64(retried.failuresInRow)),
            "retries": .int(Int64(retried.retries)),
            "last_error": JSONValue(optional: retried.lastError?.text),
            "next_try_ms": JSONValue(
                optional: retried.nextTry.map { wall + max(0, $0 - service.now) }),
            "epoch": JSONValue(optional: epochNumber), "refused": .object(counts),
        ]
    }

    /// Everything that is here is in the log, and everything in the log is here.
    var isSettled: Bool {
        guard let forwarder, retry.mayTry(at: service.now), verdict.mayGo else { return false }
        return forwarder.isCaughtUp && forwarder.queuedChanges == 0
    }

    /// A connection to the group's place at a relay.
    static func connect(
        _ url: String, _ secret: GroupSecret, _ settings: Configuration.Relay, home: String
    ) throws -> (HTTPClient, RelayConnection) {
        do {
            var http = HTTPSettings(try RelayAddress(url))
            http.authoritiesFile = settings.authorities.map { Path.absolute($0, in: home) }
            let client = try HTTPClient(http)
            return (client, RelayConnection(http: client, group: secret.relayGroup))
        } catch let error as RelayAddress.ParseError {
            throw NodeError(.usage, error.description)
        } catch let error as HTTPFailure {
            throw NodeError(.failed, error.text)
        }
    }

    private var epochNumber: Int64? {
        context.keys.table.secret.map { Int64(context.keys.current($0).id.number) }
    }

    /// The epochs whose keys this node waits for.
    private var missingEpochs: [UInt32] {
        (seal?.missing.map(\.number) ?? []).sorted()
    }

    private var state: String {
        guard settings.forward else { return "off" }
        guard let forwarder else { return "failed" }
        switch retry.facts(at: service.now).circuit {
        case .stopped: return "stopped"
        case .open: return "paused"
        default: break
        }
        if !verdict.mayGo { return "held" }
        if retry.facts(at: service.now).failuresInRow > 0 { return "retrying" }
        if !missingEpochs.isEmpty { return "waiting_for_key" }
        if context.replica.isJoining { return "copying" }
        if forwarder.isStandingBy { return "standing_by" }
        if !forwarder.isCaughtUp { return "reading" }
        return forwarder.queuedChanges > 0 ? "appending" : "connected"
    }

    private var reason: String? {
        if let problem { return problem }
        if let trouble = forwarder?.trouble { return trouble }
        if let text = verdict.reason { return text }
        if let first = missingEpochs.first { return "waiting for the key of epoch \(first)" }
        if let incoming = forwarder?.incoming(service.now) {
            return "\(incoming.done) of about \(incoming.rows) rows are here"
        }
        return context.replica.isJoining ? "asks the group for it" : nil
    }

    /// What a person should know about the relay.
    var problems: [ProblemFact] {
        guard let url, settings.forward else { return [] }
        var found: [ProblemFact] = []
        let retried = retry.facts(at: service.now)
        let last = retried.lastError?.text ?? "it does not answer"
        switch retried.circuit {
        case .stopped:
            found.append(
                ProblemFact(
                    code: "relay", message: "the relay \(url) refuses this node: \(last)",
                    remedy:
                        "`starling relay join \(url)` enrols the group again; `starling sync` tries now",
                    state: "fail"))
        case .open:
            found.append(
                ProblemFact(
                    code: "relay", message: "the relay \(url) fails again and again: \(last)",
                    remedy: "it is tried again later, or with `starling sync`"))
        default: break
        }
        if let problem { found.append(ProblemFact(code: "relay", message: problem, state: "fail")) }
        if let first = missingEpochs.first {
            found.append(
                ProblemFact(
                    code: "relay_key",
                    message: "entries of the relay wait for the key of epoch \(first)",
                    remedy: "it comes from any writer that has it, by the relay or on one network"))
        }
        let harm: [LogRefusal] = [.tampered, .foreign, .vanished, .wentBack, .unasked, .conflict]
        let count = harm.reduce(0) { $0 + (forwarder?.refused[$1] ?? 0) }
        if count > 0 {
            found.append(
                ProblemFact(
                    code: "relay_harm",
                    message:
                        "the relay \(url) lost or changed what it was given (\(count) times); nothing "
                        + "of it was taken",
                    remedy:
                        "`starling status --json` counts what happened; use a relay that you trust to "
                        + "keep things"))
        }
        return found
    }
}

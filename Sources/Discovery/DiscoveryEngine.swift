// The work of the discovery thread: it owns every reference, waits on their descriptors with
// poll(), and carries events between the daemon and the peer table.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Registration, browse and lookups of one service, with recovery. Confined to one thread.
///
/// Loss of the daemon or the bus shows as one failure on the registration or the browse, and
/// silence on all references after it: everything is dropped and made anew, after a pause.
final class DiscoveryEngine {
    private let type: String
    private let announcement: ServiceAnnouncement?
    private let mailbox: DiscoveryMailbox
    private let onEvent: @Sendable (DiscoveryEvent) -> Void

    private var table: PeerTable
    private var queue = LookupQueue()
    private var lookups: [Lookup] = []
    private var registration: ServiceReference?
    private var browse: ServiceReference?
    private var state: DiscoveryState?
    private var connectAt: Int64 = 0
    private var connectedAt: Int64?
    private var connectPause = DiscoveryLimits.reconnectMsMin
    private var announceAt: Int64?
    private var announcePause = DiscoveryLimits.conflictRetryMsMin

    init(
        type: String, announcement: ServiceAnnouncement?, mailbox: DiscoveryMailbox,
        isWanted: (@Sendable (String) -> Bool)?,
        onEvent: @escaping @Sendable (DiscoveryEvent) -> Void
    ) {
        self.type = type
        self.announcement = announcement
        self.mailbox = mailbox
        self.onEvent = onEvent
        table = PeerTable(ownName: announcement?.instanceName, isWanted: isWanted)
    }

    /// Works until the mailbox says stop; closing the references sends the goodbye.
    func run() {
        mailbox.markBusy(since: monotonicMs())
        show(.starting)
        while !mailbox.isStopping {
            if browse == nil, monotonicMs() >= connectAt { connect() }
            if let due = announceAt, monotonicMs() >= due { announce() }
            takeWishes()
            perform(table.tick(now: monotonicMs()))
            advanceLookups()
            if !mailbox.isStopping { waitAndProcess() }
        }
        dropAll()
        show(.stopped)
    }

    // MARK: Registration and browse

    private func connect() {
        openBrowse()
        guard browse != nil else { return }
        connectedAt = monotonicMs()
        announce()
        if browse != nil, announceAt == nil { show(.running) }
    }

    private func openBrowse() {
        browse = nil  // The old one first: only then does the daemon ask the network anew.
        let startedAt = monotonicMs()
        do {
            browse = try ServiceReference.browse(type: type)
            table.browseOpened(now: monotonicMs())
        } catch {
            lost(error.code, since: startedAt)
        }
    }

    private func announce() {
        announceAt = nil
        guard let announcement else { return }
        let startedAt = monotonicMs()
        do {
            let opened = try ServiceReference.register(type: type, announcement)
            registration = opened
            handleRegistration(opened.takeReplies())
        } catch {
            registrationFailed(error.code, since: startedAt)
        }
    }

    private func handleRegistration(_ replies: [ServiceReply]) {
        for reply in replies {
            switch reply {
            case .registered(let name):
                announcePause = DiscoveryLimits.conflictRetryMsMin
                guard let wanted = announcement?.instanceName, name != wanted else {
                    show(.running)
                    continue
                }
                table.addOwnName(name)
                show(.conflict(reason: DiscoveryWords.conflict(name: wanted, actual: name)))
            case .failed(let code):
                return registrationFailed(code, since: monotonicMs())
            default: break
            }
        }
    }

    private func registrationFailed(_ code: Int32, since startedAt: Int64) {
        guard code == DNSServiceCode.nameConflict, let announcement else {
            return lost(code, since: startedAt)
        }
        registration = nil
        announceAt = monotonicMs() + announcePause
        announcePause = min(announcePause * 2, DiscoveryLimits.conflictRetryMsMax)
        let reason = DiscoveryWords.conflict(name: announcement.instanceName, actual: nil)
        show(.conflict(reason: reason))
    }

    private func handleBrowse(_ replies: [ServiceReply]) {
        for reply in replies {
            switch reply {
            case .browsed(let name, let interface, true):
                perform(table.sighted(name, interface: interface))
            case .browsed(let name, let interface, false):
                perform(table.lost(name, interface: interface))
            case .failed(let code): return lost(code, since: monotonicMs())
            default: break
            }
        }
    }

    /// The daemon or the bus is gone: drops everything and plans the next attempt.
    private func lost(_ code: Int32, since startedAt: Int64) {
        let now = monotonicMs()
        dropAll()
        if let connectedAt, startedAt - connectedAt > DiscoveryLimits.reconnectMsMax {
            connectPause = DiscoveryLimits.reconnectMsMin
        }
        connectedAt = nil
        connectAt = monotonicMs() + connectPause
        connectPause = min(connectPause * 2, DiscoveryLimits.reconnectMsMax)
        let reason = DiscoveryWords.unavailable(code: code, blockedMs: now - startedAt)
        show(.unavailable(reason: reason))
    }

    private func dropAll() {
        lookups = []
        queue.removeAll()
        registration = nil
        browse = nil
        announceAt = nil
    }

    // MARK: Lookups

    private func advanceLookups() {
        for lookup in lookups {
            let now = monotonicMs()
            if let answer = lookup.takeAnswer(now: now) {
                perform(table.answered(lookup.target, answer))
            }
            guard lookup.isBroken || lookup.progress.isFinished(now: now) else { continue }
            lookups.removeAll { $0 === lookup }
            queue.finish(lookup.target)
            if lookup.progress.delivered == nil { perform(table.failed(lookup.target, now: now)) }
        }
        while browse != nil, !mailbox.isStopping, let next = queue.next() {
            let startedAt = monotonicMs()
            let lookup = Lookup(type: type, next.target, next.kind, now: startedAt)
            lookups.append(lookup)
            loseHungDaemon(since: startedAt)
        }
    }

    /// A call that blocked so long met a hung daemon, whatever it returned in the end.
    private func loseHungDaemon(since startedAt: Int64) {
        guard browse != nil, monotonicMs() - startedAt >= DiscoveryLimits.callBlockedMs
        else { return }
        lost(DNSServiceCode.unknown, since: startedAt)
    }

    // MARK: Waiting

    private func waitAndProcess() {
        let references = [browse, registration].compactMap { $0 } + lookups.flatMap(\.references)
        var entries = [mailbox.wakeDescriptor].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        for reference in references {
            entries.append(pollfd(fd: reference.descriptor, events: Int16(POLLIN), revents: 0))
        }
        mailbox.markBusy(since: nil)
        let count = poll(&entries, nfds_t(entries.count), pollTimeout())
        mailbox.markBusy(since: monotonicMs())
        guard count > 0 else { return }
        for (reference, entry) in zip(references, entries.dropFirst())
        where entry.revents & Int16(POLLIN) != 0 {
            guard !mailbox.isStopping else { return }
            process(reference)
        }
    }

    /// A reference that was dropped meanwhile is left alone; `process` is called at most once per
    /// poll.
    private func process(_ reference: ServiceReference) {
        let startedAt = monotonicMs()
        if reference === browse {
            handleBrowse(reference.process())
        } else if reference === registration {
            handleRegistration(reference.process())
        } else if let lookup = lookups.first(where: { $0.owns(reference) }) {
            lookup.process(reference)
        }
        loseHungDaemon(since: startedAt)
    }

    private func pollTimeout() -> Int32 {
        var due = [table.nextDue, announceAt].compactMap { $0 }
        due += lookups.map(\.progress.nextDue)
        if browse == nil { due.append(connectAt) }
        guard let first = due.min() else { return -1 }
        return Int32(clamping: max(0, first - monotonicMs()))
    }

    // MARK: Owner

    private func takeWishes() {
        let wishes = mailbox.take()
        if let names = wishes.unreached { table.setUnreached(names, now: monotonicMs()) }
        for name in wishes.resolve.sorted() { perform(table.resolve(name)) }
        if wishes.refresh { perform([.browseAgain] + table.refreshAll()) }
    }

    private func perform(_ effects: [PeerTable.Effect]) {
        for effect in effects {
            switch effect {
            case .tell(let event): tell(event)
            case .lookUp(let target, let kind, let urgent):
                if browse != nil { queue.enqueue(target, kind, urgent: urgent) }
            case .browseAgain: if browse != nil { openBrowse() }
            }
        }
    }

    private func show(_ next: DiscoveryState) {
        guard next != state else { return }
        state = next
        tell(.stateChanged(next))
    }

    private func tell(_ event: DiscoveryEvent) {
        if !mailbox.isAbandoned { onEvent(event) }
    }
}

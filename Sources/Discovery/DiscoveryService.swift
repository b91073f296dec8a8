// Discovery of peers on the local network by DNS-SD (RFC 6763 over RFC 6762), through Avahi on
// Linux: the face of this module. What it finds is a hint, and everything works without it.

import CDNSSD
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Announces this node and finds the others.
///
/// Two references to the daemon stay open, a few more for at most 3 s each. All its calls are made
/// on one thread of its own; a hung daemon blocks that thread and nothing else. It is not a judge
/// of who is alive: a goodbye gets lost, and a machine that loses power says none.
package final class DiscoveryService: Sendable {
    private let type: String
    private let announcement: ServiceAnnouncement?
    private let isWanted: (@Sendable (String) -> Bool)?
    private let onEvent: @Sendable (DiscoveryEvent) -> Void
    private let current = Mutex<DiscoveryMailbox?>(nil)

    /// - Parameters:
    ///   - type: the service type.
    ///   - announcement: nil to look and not be seen.
    ///   - isWanted: whether an instance of this name is worth a look before all others; called on the
    ///     discovery thread, often. nil when nobody can tell.
    ///   - onEvent: called on the discovery thread, one event at a time; it must return soon and
    ///     may call every method of this class, except that `stop()` does not wait there.
    package init(
        type: String = "_starling._tcp", announcement: ServiceAnnouncement?,
        isWanted: (@Sendable (String) -> Bool)? = nil,
        onEvent: @escaping @Sendable (DiscoveryEvent) -> Void
    ) {
        self.type = type
        self.announcement = announcement
        self.isWanted = isWanted
        self.onEvent = onEvent
    }

    deinit { current.withLock { $0?.postStop() } }

    /// Starts the thread and returns at once; nothing happens when it runs already. May be called
    /// again after `stop()`.
    ///
    /// - Throws: `DiscoveryError.Code.resources` when the system refuses a thread or descriptors. A
    ///   missing daemon is no error but a state.
    package func start() throws(DiscoveryError) {
        _ = Self.prepareLibrary
        let mailbox = try DiscoveryMailbox()
        let isNew = current.withLock { current in
            guard current == nil else { return false }
            current = mailbox
            return true
        }
        guard isNew else { return }
        let (type, announcement) = (type, announcement)
        let (isWanted, onEvent) = (isWanted, onEvent)
        do {
            try DiscoveryThread.start {
                mailbox.adoptThread()
                DiscoveryEngine(
                    type: type, announcement: announcement, mailbox: mailbox, isWanted: isWanted,
                    onEvent: onEvent
                ).run()
                mailbox.markDone()
            }
        } catch {
            current.withLock { $0 = nil }
            throw error
        }
    }

    /// Takes the announcement back and ends the thread.
    ///
    /// When a hung daemon holds the thread, the call returns after `milliseconds` all the same; the
    /// thread then ends by itself when the daemon lets it go, and tells nothing more.
    ///
    /// - Returns: whether everything was closed in time.
    @discardableResult
    package func stop(withinMs milliseconds: Int64 = DiscoveryLimits.stopMs) -> Bool {
        let taken = current.withLock { current in
            defer { current = nil }
            return current
        }
        guard let taken else { return true }
        taken.postStop()
        if taken.isOwnThread { return false }
        if taken.waitUntilDone(milliseconds: milliseconds) { return true }
        taken.abandon()
        return false
    }

    /// Looks an instance up afresh: call it after every failed connection. A restart on another
    /// port makes no event of its own; `appeared` comes when the answer differs or follows on
    /// silence.
    package func resolve(_ instanceName: String) {
        post { wishes in
            guard wishes.resolve.count < DiscoveryLimits.instancesMax else { return }
            wishes.resolve.insert(instanceName)
        }
    }

    /// Names the instances that the owner wants and does not reach, in place of those named before.
    /// They are looked up every 10 s, whether announced or not. Like the other wishes it is lost
    /// while stopped.
    package func setUnreached(_ instanceNames: [String]) {
        post { $0.unreached = Array(instanceNames.prefix(DiscoveryLimits.instancesMax)) }
    }

    /// Asks the whole network anew, as after a change of the network.
    package func refresh() { post { $0.refresh = true } }

    /// For how long the daemon has held the discovery thread in one go; 0 while all is well. Above
    /// `DiscoveryLimits.callBlockedMs` the daemon hangs: tell the user to restart it.
    package var blockedMs: Int64 {
        let since = current.withLock { $0 }?.busySince
        return since.map { max(0, monotonicMs() - $0) } ?? 0
    }

    private func post(_ change: (inout DiscoveryMailbox.Wishes) -> Void) {
        let mailbox = current.withLock { $0 }
        mailbox?.post(change)
    }

    /// Before the first call of the library, once per process: silences its advice on stderr and
    /// cures its use of memory that it never set.
    private static let prepareLibrary: Void = {
        setenv("AVAHI_COMPAT_NOWARN", "1", 1)
        _ = starling_dnssd_prepare()
    }()
}

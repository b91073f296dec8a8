// A thread of our own for calls that may block for 25 s, since a daemon answers when it likes.

internal import Threads

enum DiscoveryThread {
    /// Runs `body` on a new detached thread that takes no signals.
    ///
    /// - Throws: `DiscoveryError.Code.resources` when the system refuses the thread.
    static func start(_ body: @escaping @Sendable () -> Void) throws(DiscoveryError) {
        do throws(ThreadRefusal) {
            try SystemThread(stackBytes: DiscoveryLimits.threadStackBytes, body).detach()
        } catch {
            throw DiscoveryError(
                code: .resources,
                message: "the system refused a thread for discovery (errno \(error.number)): "
                    + "raise the limit of processes for this user")
        }
    }
}

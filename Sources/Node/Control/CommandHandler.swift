// The seam between the command line and a node: whoever can answer a request. The running node
// answers over its socket; the offline handler answers in the same process, from the file alone.

package protocol CommandHandler {
    /// Answers one request: any number of events, then exactly one result or error.
    ///
    /// `reply` is called on the thread of the caller or of the node's loop, never on two at
    /// once. A handler in this process (`NodeCommands.offline`) has answered when it returns.
    /// Commands, arguments and results: `Facts.md`.
    func handle(_ request: ControlRequest, reply: @escaping (ControlReply) -> Void)

    /// The asker of request `id` is gone: nothing more will be read from its `reply`.
    /// Only what follows changes (`watch`) or waits (`wait`) needs to act on it.
    func cancel(_ id: UInt64)
}

extension CommandHandler {
    package func cancel(_ id: UInt64) {}
}

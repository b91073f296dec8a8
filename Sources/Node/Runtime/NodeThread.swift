// A node inside another program: the same service, on a thread of its own, without its hands on the
// program's signals.

internal import Synchronization
internal import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One running node on its own thread. Ask it over its control socket, as everybody does.
package final class NodeThread: Sendable {
    private struct State {
        var mailbox: Mailbox?
        var service: LoopBound<NodeService>?
        var result: Result<Void, any Error>?
    }

    private let options: RunOptions
    private let state = Mutex(State())

    package init(_ options: RunOptions) { self.options = options }

    /// Starts the thread and returns when the node is up.
    ///
    /// - Throws: what keeps the node from running, as `starling run` would say it.
    package func start() throws {
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<NodeThread>.fromOpaque(context).takeRetainedValue().work()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        guard code == 0 else { throw NodeError(.failed, "the system gives no thread") }
        pthread_detach(thread)
        while true {
            let (isUp, result) = state.withLock { ($0.mailbox != nil, $0.result) }
            if let result { return try result.get() }
            if isUp { return }
            _ = poll(nil, 0, 1)
        }
    }

    private func work() {
        let result = Result {
            let context = try NodeContext(home: options.home, pid: getpid())
            let service = try NodeService(context: context, options: options)
            service.onReady = { [self] in
                let bound = LoopBound(service, on: service.loop)
                state.withLock {
                    $0.mailbox = service.loop.mailbox
                    $0.service = bound
                }
            }
            try service.run()
        }
        state.withLock {
            $0.result = result
            $0.mailbox = nil
            $0.service = nil
        }
    }

    /// Ends the node and waits until its file is left.
    ///
    /// - Throws: what ended it, if that was a failure.
    package func stop() throws {
        let (mailbox, service) = state.withLock { ($0.mailbox, $0.service) }
        if let mailbox, let service { mailbox.post { _ in service.value.stop(nil) } }
        while true {
            if let result = state.withLock({ $0.result }) { return try result.get() }
            _ = poll(nil, 0, 2)
        }
    }
}

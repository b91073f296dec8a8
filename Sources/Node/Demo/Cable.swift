// A cable between two nodes of one machine: it carries bytes both ways until it is cut.

internal import Synchronization
internal import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Listens on a port of loopback and forwards to another, on a thread of its own.
final class Cable: Sendable {
    private struct Running {
        var port: UInt16
        var mailbox: Mailbox
        var state: LoopBound<CableState>
    }

    let port: UInt16
    private let running: Running

    /// What the thread has made, for the one that waits for it.
    private final class Start: Sendable {
        let target: UInt16
        let result = Mutex<Result<Running, any Error>?>(nil)
        init(target: UInt16) { self.target = target }
    }

    /// - Throws: `TransportError` when no port can be had.
    init(to target: UInt16) throws {
        let start = Start(target: target)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Cable.work(Unmanaged<Start>.fromOpaque(context).takeRetainedValue())
                return nil
            }, Unmanaged.passRetained(start).toOpaque())
        guard code == 0 else { throw NodeError(.failed, "the system gives no thread") }
        pthread_detach(thread)
        var result: Result<Running, any Error>?
        while result == nil {
            result = start.result.withLock { $0 }
            if result == nil { _ = poll(nil, 0, 1) }
        }
        guard let made = try result?.get() else { throw NodeError(.failed, "no cable") }
        running = made
        port = made.port
    }

    /// The whole life of the thread: a loop belongs to the thread that made it.
    private static func work(_ start: Start) {
        do {
            let loop = try EventLoop()
            let state = CableState(loop: loop, target: start.target)
            let listener = try loop.listen(host: "127.0.0.1", port: 0) { state.accept($0) }
            let running = Running(
                port: listener.address.port ?? 0, mailbox: loop.mailbox,
                state: LoopBound(state, on: loop))
            start.result.withLock { $0 = .success(running) }
            loop.run()
            _ = loop.close()
        } catch {
            start.result.withLock { $0 = .failure(error) }
        }
    }

    /// Nothing passes any more; whoever tries is turned away.
    func cut() { running.mailbox.post { [running] _ in running.state.value.cut() } }
    func mend() { running.mailbox.post { [running] _ in running.state.value.isCut = false } }
    func close() { running.mailbox.post { loop in loop.stop() } }
}

/// What belongs to the cable's loop.
private final class CableState {
    private let loop: EventLoop
    private let target: UInt16
    private var streams: [ObjectIdentifier: Transport.Stream] = [:]
    var isCut = false

    init(loop: EventLoop, target: UInt16) {
        self.loop = loop
        self.target = target
    }

    func accept(_ near: Transport.Stream) {
        guard !isCut else { return near.close() }
        _ = loop.connect(host: "127.0.0.1", port: target, timeout: 2000) { [self] result in
            guard case .success(let far) = result, !isCut else { return near.close() }
            join(near, far)
            join(far, near)
            near.resumeReading()
            far.resumeReading()
        }
    }

    private func join(_ from: Transport.Stream, _ to: Transport.Stream) {
        let id = ObjectIdentifier(from)
        streams[id] = from
        from.onRead = { bytes in _ = to.write([UInt8](copying: bytes)) }
        from.onClose = { [self] _ in
            streams[id] = nil
            to.close()
        }
    }

    func cut() {
        isCut = true
        for stream in streams.values { stream.close() }
    }
}

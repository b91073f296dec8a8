// What it costs that nobody can listen: throughput and connections over loopback, bare and with TLS, both
// ends on one thread of this process.

internal import Transport
internal import Trust

/// Two ends of one connection over loopback.
private final class BenchLink {
    let loop: EventLoop
    private(set) var near: Transport.Stream?
    private(set) var far: Transport.Stream?
    private var listener: Listener?

    init() throws { loop = try EventLoop() }

    /// Connects; a link is used for one connection.
    func connect() throws {
        let listener = try loop.listen(host: "127.0.0.1", port: 0) { [unowned self] in
            far = $0
            stopWhenBoth()
        }
        self.listener = listener
        var failure: (any Error)?
        _ = loop.connect(host: "127.0.0.1", port: listener.address.port ?? 0, timeout: 5000) {
            [unowned self] in
            switch $0 {
            case .success(let stream): near = stream
            case .failure(let error): failure = error
            }
            stopWhenBoth()
        }
        loop.run()
        if let failure { throw failure }
    }

    private func stopWhenBoth() { if near != nil, far != nil { loop.stop() } }

    func close() {
        near?.close()
        far?.close()
        listener?.close()
        _ = loop.close()
    }
}

extension Bench {
    private static let transferBytes = 256 << 20
    private static let pieceBytes = 64 << 10
    private static let connections = 40

    func measureTrust() throws {
        try step("Measuring TLS", 0, of: 1)
        let (near, far) = (try NodeKey(), try NodeKey())
        let contexts = (try SecureContext(key: near), try SecureContext(key: far))
        // Warmed up, and in turns.
        _ = try bareSeconds(bytes: Self.transferBytes / 8)
        var bare: [Double] = []
        var secure: [Double] = []
        for _ in 0..<3 {
            bare.append(try bareSeconds(bytes: Self.transferBytes))
            secure.append(try secureSeconds(bytes: Self.transferBytes, contexts))
        }
        let megabytes = Double(Self.transferBytes) / 1e6
        let rates = [bare.median, secure.median].map {
            BenchFigure.fixed(megabytes / $0, places: 0)
        }
        add(
            BenchFigure(
                id: "tls_throughput", what: "bytes over loopback with TLS, MB/s against bare TCP",
                unit: .ratio, parts: [.init(name: "ratio", value: bare.median / secure.median)],
                isMoreBetter: true, note: "\(rates[1]) of \(rates[0]) MB/s, both ends on one thread"
            ))
        var connects: [Double] = []
        var handshakes: [Double] = []
        for _ in 0..<Self.connections {
            let link = try BenchLink()
            connects.append(try Stopwatch.seconds { try link.connect() } * 1000)
            handshakes.append(
                try Stopwatch.seconds { _ = try Self.shakeHands(link, contexts) } * 1000)
            link.close()
        }
        add(
            BenchFigure(
                id: "tls_handshake",
                what: "connecting over loopback: TCP / and both keys proved, median",
                unit: .milliseconds,
                parts: [
                    .init(name: "tcp", value: connects.median),
                    .init(name: "tls", value: connects.median + handshakes.median),
                ]))
    }

    private func bareSeconds(bytes: Int) throws -> Double {
        let link = try BenchLink()
        defer { link.close() }
        try link.connect()
        return try Self.seconds(link, bytes: bytes, seal: { $0 }, open: { $0.byteCount })
    }

    private func secureSeconds(bytes: Int, _ contexts: (SecureContext, SecureContext)) throws
        -> Double
    {
        let link = try BenchLink()
        defer { link.close() }
        try link.connect()
        let (near, far) = try Self.shakeHands(link, contexts)
        return try Self.seconds(
            link, bytes: bytes,
            seal: { piece in
                try near.send(piece)
                return near.takeOutput()
            }, open: { try far.receive([UInt8](copying: $0)).count })
    }

    /// Both channels, open.
    private static func shakeHands(_ link: BenchLink, _ contexts: (SecureContext, SecureContext))
        throws -> (SecureChannel, SecureChannel)
    {
        let near = try SecureChannel(contexts.0, role: .client) { _ in true }
        let far = try SecureChannel(contexts.1, role: .server) { _ in true }
        var failure: (any Error)?
        func feed(_ channel: SecureChannel, _ stream: Transport.Stream?) {
            stream?.onRead = { bytes in
                do { _ = try channel.receive([UInt8](copying: bytes)) } catch { failure = error }
                _ = stream?.write(channel.takeOutput())
                if failure != nil || (near.isOpen && far.isOpen) { link.loop.stop() }
            }
            stream?.resumeReading()
        }
        feed(near, link.near)
        feed(far, link.far)
        _ = link.near?.write(near.takeOutput())
        link.loop.run()
        if let failure { throw failure }
        return (near, far)
    }

    /// Seconds until `bytes` have come out at the far end.
    private static func seconds(
        _ link: BenchLink, bytes: Int, seal: ([UInt8]) throws -> [UInt8],
        open: (RawSpan) throws -> Int
    ) throws -> Double {
        guard let near = link.near, let far = link.far else {
            throw NodeError(.failed, "the bench has no connection")
        }
        let piece = (0..<pieceBytes).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var failure: (any Error)?
        return try withoutActuallyEscaping(seal) { seal in
            try withoutActuallyEscaping(open) { open in
                var sent = 0
                var received = 0
                func fill() {
                    do {
                        while sent < bytes, near.isWritable {
                            _ = near.write(try seal(piece))
                            sent += piece.count
                        }
                    } catch {
                        failure = error
                        link.loop.stop()
                    }
                }
                near.onDrain = { fill() }
                far.onRead = { span in
                    do { received += try open(span) } catch { failure = error }
                    if received >= bytes || failure != nil { link.loop.stop() }
                }
                far.resumeReading()
                let seconds = Stopwatch.seconds {
                    fill()
                    link.loop.run()
                }
                near.onDrain = nil
                far.onRead = nil
                if let failure { throw failure }
                return seconds
            }
        }
    }
}

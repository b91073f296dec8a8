// HTTP by libmicrohttpd: its callbacks, each a few lines between C and the relay.

internal import CMicroHTTPD
internal import CPlatform
internal import RelayProtocol

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A listening HTTP server.
final class HTTPDaemon: Sendable {
    private nonisolated(unsafe) let daemon: OpaquePointer
    private let listener: Int32
    let port: UInt16

    /// Begins to serve; `handler` must live until ``stop()`` has returned.
    ///
    /// - Throws: ``RelayError`` with the reason and the remedy.
    init(_ configuration: RelayConfiguration, handler: Callbacks) throws {
        // The library is loaded by who first needs it: most nodes run no relay.
        if let reason = starling_http_load() {
            throw RelayError(.failed, String(cString: reason))
        }
        _ = starling_raise_files()
        let (host, wanted) = (configuration.host, configuration.port)
        listener = starling_http_listen(host, "\(wanted)")
        guard listener >= 0 else {
            let number = starling_errno()
            throw RelayError(
                .failed,
                "cannot listen on \(host) port \(wanted): \(String(cString: strerror(number)))")
        }
        port = UInt16(starling_http_port(listener))
        var pem: (key: [CChar], certificate: [CChar])?
        if let key = configuration.key, let certificate = configuration.certificate {
            guard MHD_is_feature_supported(.FEATURE_TLS) == .YES else {
                _ = close(listener)
                throw RelayError(
                    .failed, "this build of libmicrohttpd has no TLS: put a proxy before the relay")
            }
            pem = (try Self.file(key, "key"), try Self.file(certificate, "certificate"))
        }
        let limits = configuration.connections
        var settings = starling_http_settings()
        settings.listener = listener
        settings.threads = UInt32(limits.threads)
        settings.connections = UInt32(limits.count)
        settings.connections_per_address = UInt32(limits.perAddress)
        settings.idle_seconds = UInt32(limits.idleSeconds)
        settings.connection_bytes = RelayLimits.connectionBytes
        settings.handler = access
        settings.completed = completed
        settings.connected = connected
        settings.owner = Unmanaged.passUnretained(handler).toOpaque()
        let started: OpaquePointer? =
            if let pem {
                pem.key.withUnsafeBufferPointer { key in
                    pem.certificate.withUnsafeBufferPointer { certificate in
                        settings.key = key.baseAddress
                        settings.certificate = certificate.baseAddress
                        return starling_http_start(&settings)
                    }
                }
            } else {
                starling_http_start(&settings)
            }
        guard let started else {
            _ = close(listener)
            throw RelayError(
                .failed,
                pem == nil
                    ? "HTTP cannot be served: raise the limit of open files (ulimit -n), or lower "
                        + "connections.count"
                    : "HTTP cannot be served: check that the certificate and the key belong together"
            )
        }
        daemon = started
    }

    private static func file(_ path: String, _ what: String) throws -> [CChar] {
        guard let file = fopen(path, "rb") else {
            throw RelayError(
                .failed,
                "cannot read the \(what) \(path): \(String(cString: strerror(starling_errno())))")
        }
        defer { fclose(file) }
        var bytes = [CChar](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count - 1, file)
        return Array(bytes.prefix(count)) + [0]
    }

    /// Takes no new connections.
    func quiesce() {
        let socket = MHD_quiesce_daemon(daemon)
        if socket >= 0 { _ = close(socket) }
    }

    /// Closes all connections, none of which may be suspended, and ends its threads.
    func stop() { MHD_stop_daemon(daemon) }

    /// Carries the handler through C's pointers.
    final class Callbacks: Sendable {
        let handler: any HTTPHandler
        init(_ handler: any HTTPHandler) { self.handler = handler }
    }
}

private func handler(_ owner: UnsafeMutableRawPointer?) -> (any HTTPHandler)? {
    owner.map { Unmanaged<HTTPDaemon.Callbacks>.fromOpaque($0).takeUnretainedValue().handler }
}

private func access(
    _ owner: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?,
    _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?,
    _ upload: UnsafePointer<CChar>?, _ uploadCount: UnsafeMutablePointer<Int>?,
    _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let handler = handler(owner), let connection, let context, let uploadCount, let url,
        let method
    else { return .NO }
    guard let raw = context.pointee else {
        let exchange = Exchange(
            connection: UInt(bitPattern: connection), address: address(of: connection),
            begun: RelayClock.monotonicMilliseconds())
        context.pointee = Unmanaged.passRetained(exchange).toOpaque()
        handler.began(exchange, head(connection, url, method))
        // A body of any length is thrown away, unless it is too long for that.
        if let answer = exchange.answer, mustAnswerEarly(connection) {
            return queue(answer, exchange, connection, handler)
        }
        return .YES
    }
    let exchange = Unmanaged<Exchange>.fromOpaque(raw).takeUnretainedValue()
    if uploadCount.pointee > 0 {
        let part = UnsafeRawBufferPointer(start: upload, count: uploadCount.pointee)
        uploadCount.pointee = 0
        return handler.received(exchange, part) ? .YES : .NO
    }
    // A connection that was suspended at its headers comes back here once before its body.
    if exchange.isBackFromIntroduction() {
        guard let answer = exchange.answer, mustAnswerEarly(connection) else { return .YES }
        return queue(answer, exchange, connection, handler)
    }
    if let answer = exchange.answer { return queue(answer, exchange, connection, handler) }
    handler.ended(exchange)
    return .YES
}

private func head(
    _ connection: OpaquePointer, _ url: UnsafePointer<CChar>, _ method: UnsafePointer<CChar>
) -> RequestHead {
    func look(_ kind: MHD_ValueKind, _ name: String) -> String? {
        MHD_lookup_connection_value(connection, kind, name).map { String(cString: $0) }
    }
    return RequestHead(
        method: String(cString: method), path: String(cString: url),
        query: { name in
            // A parameter without a value is there, too.
            var value: UnsafePointer<CChar>?
            let isThere = MHD_lookup_connection_value_n(
                connection, .GET_ARGUMENT_KIND, name, name.utf8.count, &value, nil)
            return isThere == .YES ? value.map { String(cString: $0) } ?? "" : nil
        },
        header: { look(.HEADER_KIND, $0) })
}

private func mustAnswerEarly(_ connection: OpaquePointer) -> Bool {
    guard let text = MHD_lookup_connection_value(connection, .HEADER_KIND, "Content-Length")
    else { return false }
    return (Int64(String(cString: text)) ?? .max) > RelayLimits.refusedBytesMax
}

private func address(of connection: OpaquePointer) -> String {
    var text = [CChar](repeating: 0, count: 64)
    starling_http_address(connection, &text, text.count)
    let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let address = String(decoding: bytes, as: UTF8.self)
    return address.hasPrefix("::ffff:") ? String(address.dropFirst(7)) : address
}

private func queue(
    _ answer: RelayAnswer, _ exchange: Exchange, _ connection: OpaquePointer,
    _ handler: any HTTPHandler
) -> MHD_Result {
    handler.answers(exchange, answer)
    let made: OpaquePointer?
    switch answer.body {
    case .bytes(let bytes):
        let kept = Unmanaged.passRetained(bytes).toOpaque()
        made = MHD_create_response_from_buffer_with_free_callback_cls(
            bytes.count, bytes.start,
            { if let kept = $0 { Unmanaged<AnswerBytes>.fromOpaque(kept).release() } }, kept)
        if made == nil { Unmanaged<AnswerBytes>.fromOpaque(kept).release() }
    case .snapshot(let snapshot):
        let carried = Carried(Download(exchange, snapshot), handler)
        let kept = Unmanaged.passRetained(carried).toOpaque()
        made = MHD_create_response_from_callback(
            UInt64(snapshot.size), RelayLimits.pieceBytes, readSnapshot, kept,
            { if let kept = $0 { Unmanaged<Carried>.fromOpaque(kept).release() } })
        if made == nil { Unmanaged<Carried>.fromOpaque(kept).release() }
    }
    guard let response = made else { return .NO }
    defer { MHD_destroy_response(response) }
    for header in answer.headers {
        _ = MHD_add_response_header(response, header.name, header.value)
    }
    return MHD_queue_response(connection, UInt32(answer.status), response)
}

private final class Carried {
    let download: Download
    let handler: any HTTPHandler
    init(_ download: Download, _ handler: any HTTPHandler) {
        self.download = download
        self.handler = handler
    }
}

/// `MHD_CONTENT_READER_END_WITH_ERROR`, a macro that Swift does not import.
private let endWithError = -2

private func readSnapshot(
    _ owner: UnsafeMutableRawPointer?, _ place: UInt64, _ buffer: UnsafeMutablePointer<CChar>?,
    _ max: Int
) -> Int {
    guard let owner, let buffer else { return endWithError }
    let carried = Unmanaged<Carried>.fromOpaque(owner).takeUnretainedValue()
    switch carried.download.read(at: place, into: buffer, max: max) {
    case .bytes(let count): return count
    case .broken: return endWithError
    case .needs(let number):
        carried.download.exchange.suspend()
        carried.handler.load(number, of: carried.download)
        return 0
    }
}

private func completed(
    _ owner: UnsafeMutableRawPointer?, _ connection: OpaquePointer?,
    _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ code: MHD_RequestTerminationCode
) {
    guard let raw = context?.pointee else { return }
    context?.pointee = nil
    let exchange = Unmanaged<Exchange>.fromOpaque(raw).takeRetainedValue()
    handler(owner)?.completed(exchange)
}

private func connected(
    _ owner: UnsafeMutableRawPointer?, _ connection: OpaquePointer?,
    _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
    _ code: MHD_ConnectionNotificationCode
) {
    guard let connection else { return }
    let name = UInt(bitPattern: connection)
    // `MHD_CONNECTION_NOTIFY_STARTED`, whose Swift name differs between versions of the library.
    if code.rawValue == 0 {
        handler(owner)?.opened(name, socket: starling_http_socket(connection))
    } else {
        handler(owner)?.closed(name)
    }
}

// A client of HTTP/1.1 over one blocking socket, as small as tests need it.

import CPlatform
import RelayProtocol

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct ClientError: Error, CustomStringConvertible {
    var description: String
}

/// One connection. One thread at a time may use it.
final class RelayClient: @unchecked Sendable {
    private let file: Int32
    private var input: [UInt8] = []

    struct Response {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]

        var reason: String? { headers["starling-reason"] }
        var text: String { String(decoding: body, as: UTF8.self) }
        var sync: SyncAnswer {
            get throws {
                guard status == 200 else { throw ClientError(description: "\(status): \(text)") }
                return try SyncAnswer(decoding: body)
            }
        }
    }

    init(port: UInt16, timeoutSeconds: Int = 60) throws {
        var hints = addrinfo()
        hints.ai_family = AF_INET
        #if canImport(Glibc)
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
        hints.ai_socktype = SOCK_STREAM
        #endif
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo("127.0.0.1", "\(port)", &hints, &found) == 0, let found else {
            throw ClientError(description: "no address")
        }
        defer { freeaddrinfo(found) }
        file = socket(found.pointee.ai_family, found.pointee.ai_socktype, 0)
        var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var on: Int32 = 1
        setsockopt(file, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        guard connect(file, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0 else {
            // The socket is closed with this value.
            throw ClientError(description: "cannot connect: errno \(starling_errno())")
        }
    }

    deinit { _ = close(file) }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else {
                throw ClientError(description: "send: errno \(starling_errno())")
            }
            rest = rest.dropFirst(count)
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// False at the end of the stream.
    private func more() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(file, &buffer, buffer.count, 0)
        guard count >= 0 else { throw ClientError(description: "recv: errno \(starling_errno())") }
        input += buffer.prefix(count)
        return count > 0
    }

    /// Whether the other side closes the connection before the time limit, whatever it sends before.
    func isClosedByPeer() -> Bool {
        do { while try more() {} } catch let error as ClientError {
            return error.description.contains("errno \(ECONNRESET)")
        } catch { return false }
        return true
    }

    func response() throws -> Response {
        let end = Array("\r\n\r\n".utf8)
        var headEnd: Int?
        while headEnd == nil {
            headEnd = Self.find(end, in: input)
            if headEnd == nil, try !more() { throw ClientError(description: "closed in the head") }
        }
        let head = String(decoding: input[..<(headEnd ?? 0)], as: UTF8.self)
        input.removeFirst((headEnd ?? 0) + 4)
        let lines = head.split(separator: "\r\n")
        let status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        if status == 100 { return try response() }
        guard let status, let length = headers["content-length"].flatMap({ Int($0) }) else {
            throw ClientError(description: "no status or length in \(head)")
        }
        while input.count < length {
            if try !more() { throw ClientError(description: "closed in the body") }
        }
        let body = Array(input.prefix(length))
        input.removeFirst(length)
        return Response(status: status, headers: headers, body: body)
    }

    private static func find(_ part: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= part.count else { return nil }
        return (0...(bytes.count - part.count)).first { place in
            bytes[place] == part[0] && Array(bytes[place..<place + part.count]) == part
        }
    }

    func begin(
        _ method: String, _ path: String, _ headers: [String: String] = [:], body: [UInt8] = []
    ) throws {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: relay\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        let isFramed = headers["Transfer-Encoding"] != nil || headers["Content-Length"] != nil
        if !isFramed, method != "GET" {
            head += "Content-Length: \(body.count)\r\n"
        }
        try send(Array("\(head)\r\n".utf8) + body)
    }

    func request(
        _ method: String, _ path: String, _ headers: [String: String] = [:], body: [UInt8] = []
    ) throws -> Response {
        try begin(method, path, headers, body: body)
        return try response()
    }
}

/// A group as one of its members knows it.
struct TestGroup: Sendable {
    var name: GroupName
    var credential: Credential

    /// - Parameter number: tells groups apart.
    init(_ number: UInt8 = 1) {
        guard let name = GroupName([UInt8](repeating: number, count: 16)),
            let credential = Credential([UInt8](repeating: number ^ 0xff, count: 32))
        else { preconditionFailure("these are as many bytes as they have to be") }
        (self.name, self.credential) = (name, credential)
    }

    var path: String { "/v1/groups/\(name.text)" }
    var headers: [String: String] { ["Authorization": "Bearer \(credential.text)"] }

    func syncPath(after: LogPosition? = nil, wait: Int = 0) -> String {
        "\(path)/sync?after=\(after?.text ?? "")&wait=\(wait)"
    }
}

extension RelayClient {
    func enrol(_ group: TestGroup) throws -> Response {
        try request("PUT", group.path, group.headers)
    }

    func sync(
        _ group: TestGroup, _ entries: [LogEntry] = [], after: LogPosition? = nil, wait: Int = 0
    ) throws -> Response {
        try request(
            "POST", group.syncPath(after: after, wait: wait), group.headers,
            body: entries.isEmpty ? [] : Framing.request(entries))
    }

    /// Everything behind a position.
    func readAll(_ group: TestGroup, after: LogPosition? = nil) throws -> [LogEntry] {
        var (position, entries) = (after, [LogEntry]())
        while true {
            let answer = try sync(group, after: position).sync
            entries += answer.entries
            position = answer.position
            if !answer.hasMore { return entries }
        }
    }
}

extension SyncAnswer {
    var entries: [LogEntry] {
        items.compactMap { if case .entry(let entry) = $0 { entry } else { nil } }
    }
}

extension LogEntry {
    /// An entry whose key is made of a number.
    init(_ number: Int, _ content: String? = nil) {
        let digits = String(number)
        let key = Array(repeating: UInt8(ascii: "0"), count: 16 - digits.count) + digits.utf8
        self.init(key: key, content: Array((content ?? "content \(number)").utf8))
    }
}

// One request while it is under way: what libcurl reads of it stays in place, what comes is collected up
// to the limit.

internal import CCurl

/// Belongs to the client's thread. Its handle is cleaned up with it, outside the multi handle.
final class HTTPTransfer {
    typealias Completion = @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void

    let id: HTTPRequestID
    let completion: Completion
    let easy: UnsafeMutableRawPointer
    private let answerBytesMax: Int
    private let stall: Milliseconds
    /// What is added to `stall` until the answer begins.
    private let wait: Milliseconds
    private let words: HeldWords

    private var headers: [String: String] = [:]
    private var headerBytes = 0
    private var body: [UInt8] = []
    private var isTooLarge = false
    private var hasAnswer = false
    /// When bytes last moved, and how many had been sent by then.
    private var movedAt: Milliseconds
    private var sent: Int64 = 0

    /// nil when libcurl has no memory, or refuses the request.
    init?(
        _ id: HTTPRequestID, _ request: HTTPRequest, _ settings: HTTPSettings, now: Milliseconds,
        completion: @escaping Completion
    ) {
        guard let easy = curl_easy_init() else { return nil }
        self.id = id
        self.completion = completion
        self.easy = easy
        answerBytesMax = request.answerBytesMax
        stall = settings.stallMilliseconds
        // What was handed to the system has not left it: a slow line takes its time for the rest.
        let buffered = min(request.body?.count ?? 0, RelayClientLimits.sendBufferBytesMax)
        wait =
            Milliseconds(max(0, request.waitSeconds)) * 1000
            + Milliseconds(buffered / RelayClientLimits.bytesPerMillisecondMin)
        words = HeldWords(request, settings)
        movedAt = now
        var plan = words.plan(connectMilliseconds: settings.connectMilliseconds)
        plan.owner = Unmanaged.passUnretained(self).toOpaque()
        plan.received = { bytes, size, count, owner in
            HTTPTransfer.of(owner)?.receive(bytes, size * count) ?? 0
        }
        plan.header = { bytes, size, count, owner in
            HTTPTransfer.of(owner)?.receiveHeader(bytes, size * count) ?? 0
        }
        // With an owner set, what the initializer gives up is cleaned up by `deinit`.
        if starling_curl_prepare(easy, &plan) != CURLE_OK { return nil }
    }

    deinit { curl_easy_cleanup(easy) }

    private static func of(_ owner: UnsafeMutableRawPointer?) -> HTTPTransfer? {
        owner.map { Unmanaged<HTTPTransfer>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: What comes

    /// Fewer bytes than came break the request off.
    private func receive(_ bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
        guard let bytes, count <= answerBytesMax - body.count else {
            isTooLarge = true
            return 0
        }
        movedAt = ClientClock.monotonic
        body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        return count
    }

    private func receiveHeader(_ bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
        guard let bytes, count <= RelayClientLimits.answerHeaderBytesMax - headerBytes else {
            isTooLarge = true
            return 0
        }
        headerBytes += count
        movedAt = ClientClock.monotonic
        hasAnswer = true
        let line = String(
            decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // Of several answers (100 Continue) the last one counts.
            headers = [:]
        } else if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            headers[line[..<colon].lowercased()] = String(value.prefix { !$0.isNewline })
        }
        return count
    }

    // MARK: The end

    /// When nothing has moved for too long; later than `now` when something has.
    func deadline(now: Milliseconds) -> Milliseconds {
        let uploaded = starling_curl_uploaded(easy)
        if uploaded > sent {
            sent = uploaded
            movedAt = now
        }
        return movedAt + stall + (hasAnswer ? 0 : wait)
    }

    func end(_ code: CURLcode) {
        if code == CURLE_OK {
            let status = Int(starling_curl_status(easy))
            completion(.success(HTTPResponse(status: status, headers: headers, body: body)))
        } else if isTooLarge {
            fail(.tooLarge, "the answer is longer than \(answerBytesMax) bytes")
        } else if code == CURLE_OPERATION_TIMEDOUT {
            fail(.timeOut, "the relay did not accept a connection in time")
        } else {
            fail(.noAnswer, words.errorText(code))
        }
    }

    func fail(_ kind: HTTPFailure.Kind, _ text: String) {
        completion(.failure(HTTPFailure(kind, text)))
    }

    func failForTime() {
        fail(
            .timeOut,
            hasAnswer ? "the relay stopped in mid-answer" : "the relay did not answer in time")
    }
}

/// The texts and bytes that libcurl reads while a request runs: copied once, freed with the request.
private final class HeldWords {
    private let url: UnsafeMutablePointer<CChar>
    private let method: UnsafeMutablePointer<CChar>
    private let authorities: UnsafeMutablePointer<CChar>?
    private let proxy: UnsafeMutablePointer<CChar>?
    private let error: UnsafeMutablePointer<CChar>
    private var headers: UnsafeMutablePointer<curl_slist>?
    private let body: UnsafeMutableBufferPointer<UInt8>?

    init(_ request: HTTPRequest, _ settings: HTTPSettings) {
        func held(_ text: String) -> UnsafeMutablePointer<CChar> {
            let bytes = Array(text.utf8CString)
            let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
            pointer.initialize(from: bytes, count: bytes.count)
            return pointer
        }
        url = held(settings.address.text + request.target)
        method = held(request.method)
        authorities = settings.authoritiesFile.map(held)
        proxy = settings.proxy.map(held)
        error = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
        error.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        // No waiting for "100 Continue", no guess of a type, no name of a program and its version.
        var lines = ["Expect:", "Accept:", "User-Agent: starling"]
        if request.body != nil { lines.append("Content-Type: application/octet-stream") }
        lines += request.headers.map { "\($0.name): \($0.value)" }
        for line in lines { headers = curl_slist_append(headers, line) ?? headers }
        body = request.body.map { bytes in
            let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            _ = buffer.initialize(from: bytes)
            return buffer
        }
    }

    deinit {
        for text in [url, method, error] { text.deallocate() }
        authorities?.deallocate()
        proxy?.deallocate()
        curl_slist_free_all(headers)
        body?.deallocate()
    }

    func plan(connectMilliseconds: Milliseconds) -> starling_curl_request {
        var plan = starling_curl_request()
        plan.url = UnsafePointer(url)
        plan.method = UnsafePointer(method)
        plan.ca_file = UnsafePointer(authorities)
        plan.proxy = UnsafePointer(proxy)
        plan.headers = UnsafePointer(headers)
        plan.error = error
        plan.connect_milliseconds = Int(connectMilliseconds)
        if let body {
            plan.has_body = 1
            plan.body = UnsafePointer(body.baseAddress)
            plan.body_bytes = Int64(body.count)
        }
        return plan
    }

    /// libcurl's words, which name hosts and ports at most.
    func errorText(_ code: CURLcode) -> String {
        let said = String(cString: error)
        let general = curl_easy_strerror(code).map { String(cString: $0) } ?? "no connection"
        switch code {
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE:
            return "the relay's certificate is not trusted: \(said.isEmpty ? general : said)"
        case CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_GOT_NOTHING:
            return "the answer was cut: \(said.isEmpty ? general : said)"
        default: return said.isEmpty ? general : said
        }
    }
}

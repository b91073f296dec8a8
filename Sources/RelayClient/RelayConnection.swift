// The relay's protocol from a client's side (Sources/Relay/Relay.docc/Protocol.md): requests made of
// values, answers read into values or into a reason.

package import RelayProtocol

/// One group at one relay. It keeps no state: positions, credentials and retries are the caller's.
///
/// Each completion runs once, on the HTTP client's thread, and must not block it. A nil id says that the
/// HTTP client is closed or has too much to do, and that the completion never runs. No credential, token
/// or content is in any failure.
package final class RelayConnection: Sendable {
    package typealias Completion<Success: Sendable> =
        @Sendable (Result<Success, RelayFailure>) -> Void

    /// What became of an enrolment.
    package enum Enrolment: Sendable {
        case new
        /// It was enrolled with this credential already.
        case known
    }

    private let http: HTTPClient
    package let group: GroupName

    package init(http: HTTPClient, group: GroupName) {
        self.http = http
        self.group = group
    }

    package func cancel(_ id: HTTPRequestID) { http.cancel(id) }

    /// Makes the group's log at the relay.
    ///
    /// - Parameter token: of the relay's operator: visible signs of ASCII. Any other text is refused here.
    @discardableResult
    package func enrol(
        _ credential: Credential, token: String?, completion: @escaping Completion<Enrolment>
    ) -> HTTPRequestID? {
        var request = request("PUT", "", credential)
        request.body = []
        if let token {
            request.headers.append(("Starling-Token", Self.isToken(token) ? token : "-"))
        }
        return send(request, completion) { response throws(RelayFailure) in
            switch response.status {
            case 201: .new
            case 200: .known
            default: throw RelayAnswer.failure(response)
            }
        }
    }

    /// Appends entries, and reads what stands behind `after`.
    ///
    /// - Parameters:
    ///   - after: what an earlier answer gave; nil is the beginning.
    ///   - waitSeconds: how long the relay may wait for news when there are no entries, up to
    ///     ``RelayClientLimits/waitSecondsMax``.
    ///   - entries: at most `Framing.entryCountMax`.
    @discardableResult
    package func sync(
        _ credential: Credential, after: LogPosition?, waitSeconds: Int = 0,
        entries: [LogEntry] = [], completion: @escaping Completion<SyncAnswer>
    ) -> HTTPRequestID? {
        precondition(entries.count <= Framing.entryCountMax, "too many entries for one request")
        let wait =
            entries.isEmpty ? min(max(0, waitSeconds), RelayClientLimits.waitSecondsMax) : 0
        var request = request("POST", "/sync", credential)
        if let after { request.query.append(("after", after.text)) }
        if wait > 0 { request.query.append(("wait", "\(wait)")) }
        request.body = entries.isEmpty ? [] : Framing.request(entries)
        request.waitSeconds = wait
        let keys = entries.map(\.key)
        return send(request, completion) { response throws(RelayFailure) in
            try RelayAnswer.sync(response, keys: keys)
        }
    }

    /// The newest snapshot, or the one before; nil when there is none.
    ///
    /// - Parameter bytesMax: a longer one fails as `full`.
    @discardableResult
    package func snapshot(
        _ credential: Credential, previous: Bool = false,
        bytesMax: Int = RelayClientLimits.snapshotBytesMax,
        completion: @escaping Completion<RelaySnapshot?>
    ) -> HTTPRequestID? {
        var request = request("GET", "/snapshot", credential)
        if previous { request.query.append(("previous", "1")) }
        request.answerBytesMax = bytesMax
        return send(request, completion) { response throws(RelayFailure) in
            try RelayAnswer.snapshot(response)
        }
    }

    /// Stores a snapshot of everything up to and including `covers`.
    @discardableResult
    package func putSnapshot(
        _ credential: Credential, covers: LogPosition, bytes: [UInt8],
        completion: @escaping Completion<Void>
    ) -> HTTPRequestID? {
        var request = request("PUT", "/snapshot", credential)
        request.query.append(("covers", covers.text))
        request.body = bytes
        return send(request, completion) { response throws(RelayFailure) in
            guard response.status == 201 || response.status == 200 else {
                throw RelayAnswer.failure(response)
            }
        }
    }

    /// Changes what opens the group's log. When the answer is lost, try the next credential first.
    @discardableResult
    package func changeCredential(
        from credential: Credential, to next: Credential, completion: @escaping Completion<Void>
    ) -> HTTPRequestID? {
        var request = request("POST", "/credential", credential)
        request.body = Array(next.text.utf8)
        return send(request, completion) { response throws(RelayFailure) in
            guard response.status == 200 else { throw RelayAnswer.failure(response) }
        }
    }

    // MARK: Sending

    private func request(
        _ method: String, _ path: String, _ credential: Credential
    ) -> HTTPRequest {
        var request = HTTPRequest(method, "/v1/groups/\(group.text)\(path)")
        request.headers.append(("Authorization", "Bearer \(credential.text)"))
        return request
    }

    private func send<Success: Sendable>(
        _ request: HTTPRequest, _ completion: @escaping Completion<Success>,
        read: @escaping @Sendable (HTTPResponse) throws(RelayFailure) -> Success
    ) -> HTTPRequestID? {
        http.submit(request) { result in
            switch result {
            case .failure(let failure): completion(.failure(RelayAnswer.failure(failure)))
            case .success(let response):
                completion(Result { () throws(RelayFailure) in try read(response) })
            }
        }
    }

    /// What may stand in a header: nothing that could end it.
    private static func isToken(_ text: String) -> Bool {
        (1...RelayClientLimits.tokenBytesMax).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }
}

/// A snapshot as the relay gives it.
package struct RelaySnapshot: Equatable, Sendable {
    /// Go on reading behind this.
    package var covers: LogPosition
    package var bytes: [UInt8]

    package init(covers: LogPosition, bytes: [UInt8]) {
        self.covers = covers
        self.bytes = bytes
    }
}

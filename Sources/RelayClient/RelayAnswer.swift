// Reads what a relay, or whatever stands at its address, answered. Anything can come.

internal import RelayProtocol

/// Answers as values, and refusals by what there is to do.
enum RelayAnswer {
    /// - Parameter keys: those of the request's entries, in its order.
    static func sync(
        _ response: HTTPResponse, keys: [[UInt8]]
    ) throws(RelayFailure) -> SyncAnswer {
        guard response.status == 200 else { throw failure(response) }
        let answer: SyncAnswer
        do { answer = try SyncAnswer(decoding: response.body) } catch {
            throw RelayFailure(.noAnswer, "the relay's answer is damaged or cut: \(error)")
        }
        guard answer.outcomes.count == keys.count else {
            throw RelayFailure(.noAnswer, "the relay's answer is for another request")
        }
        let own = Set(keys)
        let isAsked = answer.items.allSatisfy { item in
            if case .own(let key) = item { own.contains(key) } else { true }
        }
        guard isAsked else {
            throw RelayFailure(.noAnswer, "the relay's answer names entries that were not sent")
        }
        return answer
    }

    /// nil when there is none.
    static func snapshot(_ response: HTTPResponse) throws(RelayFailure) -> RelaySnapshot? {
        if response.status == 404, reason(response) == .noSnapshot { return nil }
        guard response.status == 200 else { throw failure(response) }
        guard let covers = response.headers["starling-covers"].flatMap({ LogPosition(text: $0) })
        else {
            throw RelayFailure(.noAnswer, "the relay's snapshot does not say what it covers")
        }
        // libcurl gives no body that is shorter than its length; without a length, its end is unproved.
        guard response.headers["content-length"] == "\(response.body.count)" else {
            throw RelayFailure(.noAnswer, "the relay's snapshot has no length, or was cut")
        }
        return RelaySnapshot(covers: covers, bytes: response.body)
    }

    /// What a request that was not done asks for.
    static func failure(_ response: HTTPResponse) -> RelayFailure {
        let reason = reason(response)
        // What says no reason is no relay, unless it is a proxy that cannot reach one.
        let kind = reason == nil ? kindOfStranger(response.status) : kind(reason, response.status)
        let retryAfter = response.headers["retry-after"].flatMap {
            RetryAfter.milliseconds(
                $0, date: response.headers["date"], wallSeconds: ClientClock.wallSeconds)
        }
        let entry = response.headers["starling-entry"].flatMap { Int($0) }
        return RelayFailure(
            kind, text(reason, response.status), reason: reason, status: response.status,
            retryAfterMilliseconds: kind == .later || kind == .unavailable ? retryAfter : nil,
            entry: reason == .keyConflict ? entry.flatMap { $0 >= 0 ? $0 : nil } : nil)
    }

    static func failure(_ failure: HTTPFailure) -> RelayFailure {
        let kind: RelayFailure.Kind =
            switch failure.kind {
            case .noAnswer, .timeOut: .noAnswer
            case .tooLarge: .full
            case .cancelled: .cancelled
            }
        return RelayFailure(kind, failure.text)
    }

    /// A word for programs has small letters and hyphens; anything else is none.
    private static func reason(_ response: HTTPResponse) -> Reason? {
        guard let text = response.headers["starling-reason"], (1...40).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x61...0x7a).contains($0) || $0 == 0x2d })
        else { return nil }
        return Reason(rawValue: text)
    }

    private static func kind(_ reason: Reason?, _ status: Int) -> RelayFailure.Kind {
        switch reason {
        case .keyConflict, .otherLog, .rolledBack, .olderSnapshot, .snapshotNeeded: .resolve
        case .rate, .tooManyFailures: .later
        case .unavailable: .unavailable
        case .failed: .broken
        case .quota, .storeFull, .tooLarge: .full
        case .badRequest, .unauthorized, .tokenNeeded, .taken, .notFound, .badMethod,
            .lengthNeeded, .noSnapshot:
            .refused
        // Other words can come later: go by the status then.
        default: kind(ofStatus: status)
        }
    }

    private static func kind(ofStatus status: Int) -> RelayFailure.Kind {
        switch status {
        case 409, 410: .resolve
        case 413, 507: .full
        case 429: .later
        case 502, 503, 504: .unavailable
        case 400..<500: .refused
        case 500..<600: .broken
        default: .noAnswer
        }
    }

    private static func kindOfStranger(_ status: Int) -> RelayFailure.Kind {
        switch status {
        case 429: .later
        case 413: .full
        case 502, 503, 504: .unavailable
        default: .noAnswer
        }
    }

    /// Own words: the relay's text is for people, and could hold anything.
    private static func text(_ reason: Reason?, _ status: Int) -> String {
        switch reason {
        case .unauthorized?:
            "the relay knows no such group, or another credential of it: meet a member, or be invited again"
        case .tokenNeeded?: "the relay asks for a token: get one from its operator"
        case .taken?: "the relay has another group of this name"
        case .keyConflict?: "an entry's key was used for other content"
        case .otherLog?: "the group was enrolled anew at the relay: starting over"
        case .rolledBack?: "the relay lost the end of its log: starting over"
        case .olderSnapshot?: "the relay has a newer snapshot"
        case .snapshotNeeded?: "the relay let old entries go: reading its snapshot"
        case .tooLarge?: "the relay takes fewer bytes at once (413)"
        case .rate?, .tooManyFailures?: "the relay asks to wait (429)"
        case .unavailable?: "the relay cannot serve now (503)"
        case .failed?: "the relay is broken: its operator has to look (500)"
        case .quota?: "the group has used up its room at the relay: ask its operator for more"
        case .storeFull?: "the relay's disk is full"
        case let reason?: "the relay refuses: \(reason.rawValue) (\(status))"
        case nil where status == 429: "the relay's address asks to wait (429)"
        case nil where (502...504).contains(status): "the relay cannot be reached there (\(status))"
        case nil where (300..<400).contains(status):
            "something else answers at the relay's address, with a redirection (\(status)): check the URL"
        case nil: "something else answers at the relay's address (\(status)): check the URL"
        }
    }
}

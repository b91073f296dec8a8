// When to try a relay again: a pure value, fed with what became of each request. Time and randomness are
// given.

internal import Values

/// Milliseconds of a clock that never goes back.
package typealias Milliseconds = Int64

/// What a status shows of the tries.
package struct RetryFacts: Equatable, Sendable {
    /// The state of the circuit (M. Nygard, "Release It!", 2007).
    package enum Circuit: String, Sendable {
        /// Requests are sent.
        case closed
        /// Too many failures, or no room: nothing is sent before its time is over or a person acts.
        case open
        /// Its time is over: the next request decides.
        case halfOpen
        /// Refused: nothing is sent until a person acts or the network changes.
        case stopped
    }

    package struct LastError: Equatable, Sendable {
        package var kind: RelayFailure.Kind
        package var text: String
        package var at: Milliseconds
    }

    package var circuit: Circuit
    package var failuresInRow: Int
    /// Requests since the last success that repeated a failed one.
    package var retries: Int
    /// Kept until the next success.
    package var lastError: LastError?
    /// When a request may be sent again; nil when it may be now, and when only a reset helps.
    package var nextTry: Milliseconds?
}

/// The rules of retrying, for one kind of request: a node has one engine for reading and another for
/// appending, since a relay that is full can still be read.
///
/// - no answer, 503: delay = min(15 min, 1 s × 2^n) + jitter; 500: the same, four doublings ahead.
/// - five of these in a row open the circuit for 30 minutes; then one request is let through, and its failure
///   opens it again.
/// - 429, and 503 with a time: not before the time that the relay said, plus jitter.
/// - 409, 410: at once, since the caller resolves them; more than three in a row back off.
/// - 413, 507: the circuit is open at once. 400, 401, 403 and the like: stopped.
/// - A person resets everything. The network's return does, too, but for a time that the relay said.
package struct RetryEngine: Equatable, Sendable {
    package enum ResetCause: Sendable {
        case person
        case network
    }

    private enum Gate: Equatable {
        case free
        /// - Parameter isTold: by the relay itself.
        case until(Milliseconds, isTold: Bool)
        case open(until: Milliseconds)
        case stopped
    }

    private static let backoff = Backoff(
        firstMilliseconds: RelayClientLimits.backoffFirstMilliseconds,
        maxMilliseconds: RelayClientLimits.backoffMaxMilliseconds)

    private var gate = Gate.free
    private var failuresInRow = 0
    private var resolvesInRow = 0
    private var retries = 0
    private var lastError: RetryFacts.LastError?

    package init() {}

    /// Whether a request may be sent now.
    package func mayTry(at now: Milliseconds) -> Bool {
        switch gate {
        case .free: true
        case .until(let time, _), .open(let time): now >= time
        case .stopped: false
        }
    }

    /// When ``mayTry(at:)`` becomes true by itself; nil when it is, or never does.
    package var nextTry: Milliseconds? {
        switch gate {
        case .free, .stopped: nil
        case .until(let time, _), .open(let time): time
        }
    }

    /// The relay did what it was asked for.
    package mutating func succeeded() { self = RetryEngine() }

    /// A request failed.
    ///
    /// - Parameter jitter: random, from 0 to ``RelayClientLimits/jitterMilliseconds``.
    package mutating func failed(
        _ failure: RelayFailure, now: Milliseconds, jitter: Milliseconds
    ) {
        guard failure.kind != .cancelled else { return }
        if lastError != nil { retries += 1 }
        lastError = RetryFacts.LastError(kind: failure.kind, text: failure.text, at: now)
        if failure.kind != .resolve { resolvesInRow = 0 }
        switch failure.kind {
        case .cancelled: break
        case .noAnswer: backOff(0, failure, now, jitter)
        case .unavailable: backOff(0, failure, now, jitter)
        case .broken: backOff(RelayClientLimits.brokenDoublings, failure, now, jitter)
        case .refused: gate = .stopped
        case .resolve:
            resolvesInRow += 1
            if resolvesInRow <= RelayClientLimits.resolveCount {
                gate = .free
            } else {
                backOff(0, failure, now, jitter)
            }
        case .later:
            let told = Self.told(failure)
            let delay = told ?? Self.backoff.milliseconds(doublings: retries)
            gate = .until(now + delay + jitter, isTold: told != nil)
        case .full: gate = .open(until: now + RelayClientLimits.circuitMilliseconds + jitter)
        }
    }

    /// A person asked for it, or the network is back: what waits is tried at once.
    package mutating func reset(by cause: ResetCause) {
        if cause == .network, case .until(_, isTold: true) = gate { return }
        gate = .free
        failuresInRow = 0
        resolvesInRow = 0
    }

    package func facts(at now: Milliseconds) -> RetryFacts {
        let circuit: RetryFacts.Circuit
        switch gate {
        case .free, .until: circuit = .closed
        case .open(let time): circuit = now >= time ? .halfOpen : .open
        case .stopped: circuit = .stopped
        }
        return RetryFacts(
            circuit: circuit, failuresInRow: failuresInRow, retries: retries, lastError: lastError,
            nextTry: mayTry(at: now) ? nil : nextTry)
    }

    private mutating func backOff(
        _ ahead: Int, _ failure: RelayFailure, _ now: Milliseconds, _ jitter: Milliseconds
    ) {
        failuresInRow += 1
        let told = Self.told(failure)
        if failuresInRow >= RelayClientLimits.circuitFailures {
            let time = max(RelayClientLimits.circuitMilliseconds, told ?? 0)
            gate = .open(until: now + time + jitter)
        } else {
            let delay = Self.backoff.milliseconds(doublings: failuresInRow - 1 + ahead)
            gate = .until(now + max(delay, told ?? 0) + jitter, isTold: (told ?? 0) > delay)
        }
    }

    private static func told(_ failure: RelayFailure) -> Milliseconds? {
        failure.retryAfterMilliseconds.map {
            min(max(0, $0), RelayClientLimits.retryAfterMillisecondsMax)
        }
    }
}

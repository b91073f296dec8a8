// The rules of retrying, one by one, and over random histories.

import RelayClient
import RelayProtocol
import TestKit
import Testing

@Suite struct RetryTests {
    private func failure(_ kind: RelayFailure.Kind, after: Int64? = nil) -> RelayFailure {
        RelayFailure(kind, "it is \(kind.rawValue)", retryAfterMilliseconds: after)
    }

    /// Delays until the circuit opens: each failure comes when the time before is over.
    private func delays(_ kind: RelayFailure.Kind, jitter: Int64 = 0) -> [Int64] {
        var engine = RetryEngine()
        var now: Int64 = 1000
        return (0..<5).map { _ in
            #expect(engine.mayTry(at: now))
            engine.failed(failure(kind), now: now, jitter: jitter)
            #expect(!engine.mayTry(at: now))
            let next = engine.nextTry ?? now
            #expect(!engine.mayTry(at: next - 1))
            defer { now = next }
            return next - now
        }
    }

    @Test func backsOff() {
        let thirtyMinutes: Int64 = 30 * 60_000
        #expect(delays(.noAnswer) == [1000, 2000, 4000, 8000, thirtyMinutes])
        #expect(delays(.unavailable) == [1000, 2000, 4000, 8000, thirtyMinutes])
        #expect(delays(.noAnswer, jitter: 1000) == [2000, 3000, 5000, 9000, thirtyMinutes + 1000])
        // 500 waits for longer.
        #expect(delays(.broken) == [16_000, 32_000, 64_000, 128_000, thirtyMinutes])
    }

    @Test func theCircuitLetsOneThrough() {
        var engine = RetryEngine()
        for number in 0..<5 {
            #expect(engine.facts(at: Int64(number) * 100_000).circuit == .closed)
            engine.failed(failure(.noAnswer), now: Int64(number) * 100_000, jitter: 0)
        }
        let opened: Int64 = 400_000
        #expect(engine.facts(at: opened).circuit == .open)
        #expect(engine.facts(at: opened).failuresInRow == 5)
        let end = opened + 30 * 60_000
        #expect(engine.facts(at: opened).nextTry == end)
        #expect(engine.facts(at: end).circuit == .halfOpen)
        #expect(engine.mayTry(at: end))
        engine.failed(failure(.noAnswer), now: end, jitter: 0)
        #expect(engine.facts(at: end).circuit == .open)
        #expect(engine.nextTry == end + 30 * 60_000)
        engine.succeeded()
        #expect(engine == RetryEngine())
        #expect(engine.facts(at: end).lastError == nil)
    }

    @Test(arguments: [RetryEngine.ResetCause.person, .network])
    func resetsTryAtOnce(cause: RetryEngine.ResetCause) {
        for kind in RelayFailure.Kind.allCases where kind != .cancelled {
            var engine = RetryEngine()
            for _ in 0..<6 { engine.failed(failure(kind), now: 5, jitter: 500) }
            engine.reset(by: cause)
            #expect(engine.mayTry(at: 5), "\(kind)")
            // What was is still shown.
            #expect(engine.facts(at: 5).lastError?.text == "it is \(kind.rawValue)")
            #expect(engine.facts(at: 5).retries == 5)
            #expect(engine.facts(at: 5).failuresInRow == 0)
        }
    }

    @Test func whatTheRelaySaysIsObeyed() {
        var engine = RetryEngine()
        engine.failed(failure(.later, after: 90_000), now: 10, jitter: 7)
        #expect(engine.nextTry == 90_017)
        // The network has nothing to do with it; a person may insist.
        engine.reset(by: .network)
        #expect(!engine.mayTry(at: 90_016))
        engine.reset(by: .person)
        #expect(engine.mayTry(at: 10))
        // 429 is no failure of the relay: the circuit stays closed.
        for _ in 0..<20 { engine.failed(failure(.later, after: 1000), now: 10, jitter: 0) }
        #expect(engine.facts(at: 10).circuit == .closed)
        #expect(engine.facts(at: 10).failuresInRow == 0)
        // The longer of both, and no more than a day.
        engine = RetryEngine()
        engine.failed(failure(.unavailable, after: 60_000), now: 0, jitter: 0)
        #expect(engine.nextTry == 60_000)
        engine.failed(failure(.unavailable, after: 1), now: 0, jitter: 0)
        #expect(engine.nextTry == 2000)
        engine.failed(failure(.later, after: .max), now: 0, jitter: 0)
        #expect(engine.nextTry == RelayClientLimits.retryAfterMillisecondsMax)
        engine.failed(failure(.later, after: -5), now: 3, jitter: 0)
        #expect(engine.nextTry == 3)
    }

    @Test func refusalsStop() {
        var engine = RetryEngine()
        engine.failed(failure(.refused), now: 0, jitter: 0)
        #expect(!engine.mayTry(at: .max))
        #expect(engine.nextTry == nil)
        #expect(engine.facts(at: 0).circuit == .stopped)
    }

    @Test func fullWaitsForTheCircuit() {
        var engine = RetryEngine()
        engine.failed(failure(.full), now: 0, jitter: 0)
        #expect(engine.facts(at: 0).circuit == .open)
        #expect(engine.nextTry == RelayClientLimits.circuitMilliseconds)
    }

    @Test func whatIsResolvedGoesOn() {
        var engine = RetryEngine()
        for _ in 0..<3 {
            engine.failed(failure(.resolve), now: 0, jitter: 0)
            #expect(engine.mayTry(at: 0))
        }
        // What resolves nothing is no loop.
        engine.failed(failure(.resolve), now: 0, jitter: 0)
        #expect(engine.nextTry == 1000)
        engine.failed(failure(.cancelled), now: 0, jitter: 0)
        #expect(engine.nextTry == 1000)
    }

    /// Any history: never an early try, a delay within its bounds, facts that agree.
    @Test func holdsOverRandomHistories() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            var engine = RetryEngine()
            var now: Int64 = Int64(random.below(1_000_000))
            var inRow = 0
            for _ in 0..<60 {
                now += Int64(random.below(2_000_000))
                let before = engine
                switch random.below(10) {
                case 0:
                    engine.succeeded()
                    inRow = 0
                case 1:
                    engine.reset(by: .person)
                    inRow = 0
                    #expect(engine.mayTry(at: now), "seed \(seed)")
                default:
                    let kinds = RelayFailure.Kind.allCases
                    let kind = kinds[random.below(kinds.count)]
                    let told = random.chance(1, in: 3) ? Int64(random.below(200_000)) : nil
                    engine.failed(failure(kind, after: told), now: now, jitter: 400)
                    if [.noAnswer, .unavailable, .broken].contains(kind) { inRow += 1 }
                    if kind == .cancelled { #expect(engine == before, "seed \(seed)") }
                    check(engine, kind, told, now, inRow, seed)
                }
                let facts = engine.facts(at: now)
                #expect(
                    (facts.nextTry == nil) == (engine.mayTry(at: now) || facts.circuit == .stopped))
                if let next = engine.nextTry { #expect(engine.mayTry(at: next), "seed \(seed)") }
            }
        }
    }

    private func check(
        _ engine: RetryEngine, _ kind: RelayFailure.Kind, _ told: Int64?, _ now: Int64,
        _ inRow: Int, _ seed: UInt64
    ) {
        let wait = (engine.nextTry ?? now) - now
        switch kind {
        case .noAnswer, .unavailable, .broken:
            // A loop of refusals that were resolved counts, too, so that there may be more in a row.
            if inRow >= 5 { #expect(engine.facts(at: now).circuit == .open, "seed \(seed)") }
            #expect(wait >= max(1000, told ?? 0) + 400, "seed \(seed)")
            #expect(wait <= 30 * 60_000 + 400, "seed \(seed)")
        case .later: #expect(told == nil || wait == (told ?? 0) + 400, "seed \(seed)")
        case .full: #expect(wait == 30 * 60_000 + 400, "seed \(seed)")
        case .refused: #expect(!engine.mayTry(at: .max), "seed \(seed)")
        case .resolve, .cancelled: break
        }
    }

    @Test func readsRetryAfter() {
        func read(_ text: String, date: String? = nil) -> Int64? {
            RetryAfter.milliseconds(text, date: date, wallSeconds: 784_111_777)
        }
        #expect(read("0") == 0)
        #expect(read(" 120") == 120_000)
        #expect(read("99999999999999999999999") == RelayClientLimits.retryAfterMillisecondsMax)
        // The three forms of RFC 9110, section 5.6.7, all of the second 784111777.
        #expect(read("Sun, 06 Nov 1994 08:49:47 GMT") == 10_000)
        #expect(read("Sunday, 06-Nov-94 08:49:47 GMT") == 10_000)
        #expect(read("Sun Nov  6 08:49:47 1994") == 10_000)
        #expect(read("Sun, 06 Nov 1994 08:49:27 GMT") == 0)
        // Against the relay's own clock, where it says what that shows.
        let date = "Fri, 29 Feb 2036 23:59:50 GMT"
        #expect(read("Sat, 01 Mar 2036 00:00:50 GMT", date: date) == 60_000)
        for text in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994", "Sun, 32 Nov 1994 08:49:37 GMT"] {
            #expect(read(text) == nil, "\(text)")
        }
    }

    /// Relations between limits.
    @Test func limitsFit() {
        #expect(RelayClientLimits.backoffMaxMilliseconds < RelayClientLimits.circuitMilliseconds)
        #expect(
            RelayClientLimits.circuitMilliseconds < RelayClientLimits.retryAfterMillisecondsMax)
        #expect(RelayClientLimits.bodyBytesMax / 8 * 9 < RelayClientLimits.answerBytesMax)
        #expect(RelayClientLimits.answerBytesMax < RelayClientLimits.snapshotBytesMax)
        #expect(RelayClientLimits.connectMilliseconds < RelayClientLimits.stallMilliseconds)
    }
}

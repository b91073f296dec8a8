// The client against servers that cut, stall, redirect and talk nonsense.

import Relay
import RelayClient
import RelayProtocol
import TestKit
import Testing

@Suite(.serialized) struct StrangeServerTests {
    private static let position = LogPosition(
        generation: Array(0..<8), number: 5, link: Array(8..<16))

    private func http(
        _ status: String, _ headers: [String] = [], body: [UInt8], length: Int? = nil
    ) -> [UInt8] {
        let lines = ["HTTP/1.1 \(status)", "Content-Length: \(length ?? body.count)"] + headers
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
    }

    /// What becomes of a request for what is behind the beginning.
    private func failure(
        _ answer: [UInt8], staysOpen: Bool = false,
        _ change: (inout HTTPSettings) -> Void = { _ in }
    ) throws -> RelayFailure {
        let server = try StrangeServer(.init(pieces: [answer], staysOpen: staysOpen))
        defer { server.stop() }
        return try ClientFixture(port: server.port, change).sync().failure()
    }

    @Test func answersThatAreCutAreNone() throws {
        let answer = SyncAnswer(
            outcomes: [], items: [.entry(LogEntry(1)), .entry(LogEntry(2, [1, 2, 3]))],
            hasMore: false, position: Self.position
        ).encoded
        // Cut by the connection: the length says so. Cut in the body: the end is missing.
        for count in 0..<answer.count {
            let part = Array(answer.prefix(count))
            #expect(try failure(http("200 OK", body: part)).kind == .noAnswer)
        }
        for count in [0, 1, 10, answer.count - 1] {
            let part = Array(answer.prefix(count))
            let cut = try failure(http("200 OK", body: part, length: answer.count))
            #expect(cut.kind == .noAnswer)
            #expect(cut.text.hasPrefix("the answer was cut"), "\(cut.text)")
        }
        #expect(try failure(Array("HTTP/1.1 2".utf8)).kind == .noAnswer)
        #expect(try failure([]).kind == .noAnswer)
    }

    @Test func garbageIsNoAnswer() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20 {
            let garbage = (0..<random.below(300)).map { _ in UInt8(random.below(256)) }
            #expect(try failure(garbage).kind == .noAnswer, "seed \(seed)")
            #expect(try failure(http("200 OK", body: garbage)).kind == .noAnswer, "seed \(seed)")
        }
        #expect(try failure(http("200 OK", body: Array("<html>".utf8))).kind == .noAnswer)
        // An answer to another request: outcomes and keys that nobody asked for.
        let outcome = SyncAnswer(
            outcomes: [.appended], items: [], hasMore: false, position: Self.position)
        #expect(try failure(http("200 OK", body: outcome.encoded)).kind == .noAnswer)
        let own = SyncAnswer(
            outcomes: [], items: [.own(key: LogEntry(1).key)], hasMore: false,
            position: Self.position)
        #expect(try failure(http("200 OK", body: own.encoded)).kind == .noAnswer)
    }

    @Test func redirectionsAreNotFollowed() throws {
        let target = try StrangeServer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        defer { target.stop() }
        let location = "Location: http://127.0.0.1:\(target.port)/"
        for status in ["301 Moved", "307 Temporary Redirect", "308 Permanent Redirect"] {
            let failure = try failure(http(status, [location], body: []))
            #expect(failure.kind == .noAnswer)
            #expect(failure.text.contains("check the URL"))
        }
        #expect(target.heads == [])
    }

    @Test func refusalsGoByReasonThenByStatus() throws {
        func kind(_ status: String, _ headers: String...) throws -> RelayFailure.Kind {
            try failure(http(status, headers, body: Array("no".utf8))).kind
        }
        // What gives no reason is no relay.
        #expect(try kind("401 Unauthorized") == .noAnswer)
        #expect(try kind("404 Not Found") == .noAnswer)
        #expect(try kind("500 Broken") == .noAnswer)
        #expect(try kind("502 Bad Gateway") == .unavailable)
        // Words that come later go by their status.
        #expect(try kind("401 No", "Starling-Reason: some-new-word") == .refused)
        #expect(try kind("409 No", "starling-reason: some-new-word") == .resolve)
        #expect(try kind("500 No", "STARLING-REASON: failed") == .broken)
        #expect(try kind("503 No", "Starling-Reason: unavailable") == .unavailable)
        #expect(try kind("507 No", "Starling-Reason: quota") == .full)
        #expect(try kind("413 No", "Starling-Reason: too-large") == .full)
        #expect(try kind("410 No", "Starling-Reason: snapshot-needed") == .resolve)
        #expect(try kind("403 No", "Starling-Reason: no word at all") == .noAnswer)
    }

    @Test func retryAfterIsRead() throws {
        func wait(_ headers: String...) throws -> Int64? {
            let all = ["Starling-Reason: rate"] + headers
            return try failure(http("429 Slow", all, body: [])).retryAfterMilliseconds
        }
        #expect(try wait("Retry-After: 7") == 7000)
        #expect(
            try wait(
                "Date: Sun, 06 Nov 1994 08:49:37 GMT",
                "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT") == 60_000)
        #expect(try wait("Retry-After: later") == nil)
        #expect(try wait() == nil)
    }

    @Test func silenceEnds() throws {
        func patient(_ settings: inout HTTPSettings) { settings.stallMilliseconds = 300 }
        let begun = ContinuousClock.now
        let silent = try failure([], staysOpen: true, patient)
        #expect(silent.kind == .noAnswer)
        #expect(silent.text == "the relay did not answer in time")
        let stopped = try failure(
            http("200 OK", body: [1, 2, 3], length: 10), staysOpen: true, patient)
        #expect(stopped.text == "the relay stopped in mid-answer")
        #expect(ContinuousClock.now - begun < .seconds(20))
        // A request that waits is given that time on top.
        let server = try StrangeServer("", staysOpen: true)
        defer { server.stop() }
        let client = try ClientFixture(port: server.port, patient)
        let start = ContinuousClock.now
        #expect(try client.sync(wait: 2).failure().kind == .noAnswer)
        #expect(ContinuousClock.now - start >= .milliseconds(2200))
    }

    @Test func longAnswersAreNotKept() throws {
        let server = try StrangeServer(
            .init(pieces: [http("200 OK", body: [UInt8](repeating: 1, count: 100_000))]))
        defer { server.stop() }
        let client = try ClientFixture(port: server.port)
        let failure = try Answer {
            client.connection.snapshot(client.credential, bytesMax: 99_999, completion: $0)
        }.failure()
        #expect(failure.kind == .full)
        // Headers have a limit of their own.
        let header = "X: " + String(repeating: "x", count: 1000)
        let many = [String](repeating: header, count: 100)
        #expect(try self.failure(http("200 OK", many, body: [])).kind != .cancelled)
    }

    /// The snapshot's end is proved by its length alone.
    @Test func snapshotsWithoutALengthAreNone() throws {
        let covers = "Starling-Covers: \(Self.position.text)"
        for answer in [
            "HTTP/1.1 200 OK\r\n\(covers)\r\nConnection: close\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\n\(covers)\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        ] {
            let server = try StrangeServer(answer)
            defer { server.stop() }
            let client = try ClientFixture(port: server.port)
            let failure = try Answer {
                client.connection.snapshot(client.credential, completion: $0)
            }.failure()
            #expect(failure.kind == .noAnswer)
        }
    }

    @Test func requestsSayNoMoreThanTheyMust() throws {
        let server = try StrangeServer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        defer { server.stop() }
        let client = try ClientFixture(port: server.port)
        _ = try client.sync([LogEntry(1)]).failure()
        let lines = try #require(server.heads.first)
            .split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
            .prefix { !$0.isEmpty }
        #expect(lines.first == "POST /v1/groups/\(client.group.relayGroup.text)/sync HTTP/1.1")
        let names = lines.dropFirst().compactMap { $0.split(separator: ":").first.map(String.init) }
        #expect(
            names.sorted()
                == ["Authorization", "Content-Length", "Content-Type", "Host", "User-Agent"])
    }

    @Test func proxiesAreUsedWhenConfigured() throws {
        let proxy = try StrangeServer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        defer { proxy.stop() }
        let client = try ClientFixture(port: 9, host: "relay.example") {
            $0.proxy = "http://127.0.0.1:\(proxy.port)"
        }
        #expect(try client.sync().failure().kind == .unavailable)
        #expect(proxy.heads.first?.hasPrefix("POST http://relay.example:9/v1/") == true)
    }

    @Test func readsAddresses() throws {
        for (text, expected) in [
            ("https://relay.example.org", "https://relay.example.org"),
            ("HTTPS://Relay.example.org:443/", "https://relay.example.org:443"),
            ("http://[::1]:7879/a/b//", "http://[::1]:7879/a/b"),
            ("http://192.0.2.1/Some_path/", "http://192.0.2.1/Some_path"),
        ] {
            #expect(try RelayAddress(text).text == expected)
        }
        #expect(try !RelayAddress("http://a").isEncrypted)
        for text in [
            "", "relay", "ftp://a", "https://", "https:///x", "https://a:0", "https://a:70000",
            "https://a:", "https://u:p@a", "https://a?x", "https://a#x", "https://a b",
            "https://[::1",
            "https://[x]", "https://a/../b", "https://a/b?c", "https://a/%2e", "https://a\r\nX: y",
            "https://" + String(repeating: "a", count: 600),
        ] {
            #expect(throws: RelayAddress.ParseError.self, "\(text)") { try RelayAddress(text) }
        }
    }
}

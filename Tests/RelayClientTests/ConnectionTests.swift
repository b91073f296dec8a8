// The client against a real relay: everything that the protocol offers, and what it refuses.

import Relay
import RelayClient
import RelayProtocol
import TestKit
import Testing
import Trust

@Suite(.serialized) struct ConnectionTests {
    @Test func appendsAndReads() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        #expect(try client.enrol().get() == .new)
        #expect(try client.enrol().get() == .known)
        let first = try client.sync([LogEntry(1), LogEntry(2)]).get()
        #expect(first.outcomes == [.appended, .appended])
        #expect(first.items == [.own(key: LogEntry(1).key), .own(key: LogEntry(2).key)])
        let again = try client.sync([LogEntry(2), LogEntry(3)], after: first.position).get()
        #expect(again.outcomes == [.known, .appended])
        let all = try client.sync().get()
        #expect(all.items == (1...3).map { .entry(LogEntry(UInt8($0))) })
        #expect(all.position == again.position)
        let conflict = try client.sync([LogEntry(4), LogEntry(1, [9])]).failure()
        #expect(conflict.kind == .resolve)
        #expect(conflict.reason == .keyConflict)
        #expect(conflict.entry == 1)
        #expect(conflict.status == 409)
    }

    @Test func sealedEntriesGoThrough() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        let author = try NodeKey()
        let (key, body) = (randomBytes(32), randomBytes(1 << 20))
        let sealed = try Sealer(group: client.group, author: author).seal(
            .deltaPart, body: body, key: key, epoch: client.group.baseEpoch)
        _ = try client.sync([LogEntry(key: key, content: sealed)]).get()
        guard case .entry(let entry)? = try client.sync().get().items.first else {
            Issue.record("no entry")
            return
        }
        let content = try Opener(group: client.group).open(
            entry.content, key: entry.key, purposes: [.deltaPart], bodyBytesMax: 1 << 20
        ) { _, _ in author.publicKey }
        #expect(content.body == body)
    }

    /// One request waits while another appends, and the first is woken by the second.
    @Test func waitsBesideAppending() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        let start = try client.sync([LogEntry(1)]).get().position
        let waiting = client.sync(after: start, wait: 50)
        for number in 2..<10 as Range<UInt8> where !waiting.isThere {
            _ = try client.sync([LogEntry(number)], after: start).get()
        }
        let items = try waiting.get().items
        #expect(items.first == .entry(LogEntry(2)))
        // Time that is over is an answer, too.
        let end = try client.sync().get().position
        #expect(try client.sync(after: end, wait: 1).get().items == [])
    }

    @Test func cancelsAndCloses() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        let end = try client.sync([LogEntry(1)]).get().position
        let (first, second) = (
            client.sync(after: end, wait: 50), client.sync(after: end, wait: 50)
        )
        if let id = first.id { client.connection.cancel(id) }
        #expect(try first.failure().kind == .cancelled)
        #expect(!second.isThere)
        client.http.close()
        // Closing waits for the completions.
        #expect(second.isThere)
        #expect(try second.failure().kind == .cancelled)
        #expect((first.count, second.count) == (1, 1))
        #expect(client.sync().id == nil)
        client.http.close()
    }

    @Test func refusalsSayWhatToDo() throws {
        let relay = try ClientRelay { $0.isOpen = false }
        let client = try ClientFixture(port: relay.server.port)
        let token = try client.enrol().failure()
        #expect(token.kind == .refused)
        #expect(token.reason == .tokenNeeded)
        #expect(try client.enrol(token: "wrong").failure().reason == .tokenNeeded)
        // A token that would end its header is none.
        let injected = try client.enrol(token: "x\r\nHost: elsewhere").failure()
        #expect(injected.reason == .tokenNeeded)
        let unknown = try client.sync().failure()
        #expect(unknown.kind == .refused)
        #expect(unknown.reason == .unauthorized)
        #expect(!unknown.text.contains(client.credential.text))
    }

    @Test func snapshotsAndPositions() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        let (connection, credential) = (client.connection, client.credential)
        #expect(try Answer { connection.snapshot(credential, completion: $0) }.get() == nil)
        let first = try client.sync([LogEntry(1)]).get().position
        let bytes = randomBytes(2 << 20)
        let stored = Answer<Void> {
            connection.putSnapshot(credential, covers: first, bytes: bytes, completion: $0)
        }
        try stored.get()
        let read = try Answer { connection.snapshot(credential, completion: $0) }.get()
        #expect(read == RelaySnapshot(covers: first, bytes: bytes))
        let large = try Answer {
            connection.snapshot(credential, bytesMax: 1000, completion: $0)
        }.failure()
        #expect(large.kind == .full)
        #expect(
            try Answer { connection.snapshot(credential, previous: true, completion: $0) }.get()
                == nil)
        // A position of another log.
        let foreign = LogPosition(generation: randomBytes(8), number: 1, link: randomBytes(8))
        let other = try client.sync(after: foreign).failure()
        #expect(other.kind == .resolve)
        #expect(other.reason == .otherLog)
    }

    @Test func credentialsAreChanged() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        let next = Epoch(number: 1).credential(in: client.group)
        try Answer<Void> {
            client.connection.changeCredential(
                from: client.credential, to: next, completion: $0)
        }.get()
        #expect(try client.sync().failure().reason == .unauthorized)
        let answer = try Answer {
            client.connection.sync(next, after: nil, completion: $0)
        }.get()
        #expect(answer.items == [])
    }

    @Test func theRateIsObeyed() throws {
        let relay = try ClientRelay {
            $0.quota.requestsPerSecond = 1
            $0.quota.burst = 2
        }
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        var refused: RelayFailure?
        for _ in 0..<20 where refused == nil {
            if case .failure(let failure) = try client.sync().wait() { refused = failure }
        }
        #expect(refused?.kind == .later)
        #expect(refused?.reason == .rate)
        let wait = try #require(refused?.retryAfterMilliseconds)
        #expect((1000...60_000).contains(wait))
    }

    @Test func aRelayThatIsAwayIsNoAnswer() throws {
        let relay = try ClientRelay()
        let client = try ClientFixture(port: relay.server.port)
        _ = try client.enrol().get()
        relay.stop()
        let failure = try client.sync().failure()
        #expect(failure.kind == .noAnswer)
        #expect(!failure.text.isEmpty)
    }

    /// A relay with a certificate of an authority that only the configuration names.
    @Test func certificatesAreVerified() throws {
        let folder = TemporaryDirectory()
        func make(_ name: String, _ more: [String]) throws {
            let words =
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
                + ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=\(name)"]
                + ["-keyout", folder.file("\(name).key"), "-out", folder.file("\(name).pem")]
            #expect(try runProgram(words + more) == 0)
        }
        try make("authority", [])
        try make(
            "relay",
            ["-CA", folder.file("authority.pem"), "-CAkey", folder.file("authority.key")]
                + ["-addext", "subjectAltName=IP:127.0.0.1"])
        try make("other", [])
        let relay = try ClientRelay {
            $0.key = folder.file("relay.key")
            $0.certificate = folder.file("relay.pem")
        }
        let port = relay.server.port
        let client = try ClientFixture(port: port, scheme: "https") {
            $0.authoritiesFile = folder.file("authority.pem")
        }
        #expect(try client.enrol().get() == .new)
        #expect(try client.sync([LogEntry(1)]).get().outcomes == [.appended])
        for file in [nil, "other.pem", "missing.pem"] {
            let stranger = try ClientFixture(port: port, scheme: "https") {
                $0.authoritiesFile = file.map(folder.file)
            }
            let failure = try stranger.enrol().failure()
            #expect(failure.kind == .noAnswer)
            #expect(failure.text.contains("certificate"), "\(failure.text)")
        }
        // The right authority, the wrong name; and no TLS where TLS is spoken.
        let misnamed = try ClientFixture(port: port, scheme: "https", host: "localhost") {
            $0.authoritiesFile = folder.file("authority.pem")
        }
        #expect(try misnamed.enrol().failure().kind == .noAnswer)
        #expect(try ClientFixture(port: port).enrol().failure().kind == .noAnswer)
    }
}

// What a node reads of a relay: sealed entries, also of a member that means harm, grants, answers, and what
// a person writes about relays.

import RelayProtocol
import Trust

@testable import RelayClient

extension FuzzTarget {
    static let sealed = FuzzTarget(
        name: "sealed", bytesMax: 1024,
        words: phrases(
            "SRL\u{1}", "https://", "http://", "22:00-06:30", "Sun, 06 Nov 1994 08:49:37 GMT",
            "starling-reason", "retry-after"),
        seeds: {
            let fixture = try SealedFixture()
            let body = [UInt8](repeating: 5, count: 300)
            let entry = PlainEntry(
                author: fixture.node, purpose: .deltaPart, header: [1, 2], body: body)
            let grant = try EpochGrant.make(
                fixture.epoch, for: fixture.author.publicKey, in: fixture.group, by: fixture.author)
            let answer = SyncAnswer(
                outcomes: [.known], items: [.own(key: fixture.key)], hasMore: true,
                position: LogPosition(generation: Array(0..<8), number: 1, link: Array(8..<16)))
            let sealed = try Sealer(group: fixture.group, author: fixture.author).seal(
                .deltaPart, header: [1], body: body, key: fixture.key, epoch: fixture.epoch)
            func answered(_ reason: String, _ retry: String, _ body: [UInt8]) -> [UInt8] {
                [4, 0, 200]
                    + [Array(reason.utf8), Array(retry.utf8), body].flatMap(FuzzInput.piece)
            }
            return [
                [0] + sealed, [1] + entry.signed + [UInt8](repeating: 0, count: 80),
                [2] + entry.signed, [3] + grant.bytes, answered("rate", "7", answer.encoded),
                answered("", "Sun, 06 Nov 1994 08:49:37 GMT", []),
                [5] + Array("https://relay.example:7879/a".utf8), [5] + Array("22:00-06:30".utf8),
            ]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            switch input.below(6) {
            case 0: try checkStranger(input.all())
            case 1: try checkPlain(input.all())
            case 2: try checkMember(input.all())
            case 3: try checkGrant(input.all())
            case 4: try checkAnswer(&input)
            default: try checkTexts(String(decoding: input.all(), as: UTF8.self))
            }
        })

    /// Bytes of somebody without the group's secret: only what was sealed opens.
    private static func checkStranger(_ sealed: [UInt8]) throws {
        let fixture = try SealedFixture()
        guard let content = try? fixture.open(sealed).get() else { return }
        let again = try Sealer(group: fixture.group, author: fixture.author).seal(
            content.purpose, header: content.header, body: content.body, key: fixture.key,
            epoch: fixture.epoch)
        try promise(again == sealed, "an entry was opened that nobody sealed")
    }

    private static func checkPlain(_ plain: [UInt8]) throws {
        guard let (entry, signed, signature) = PlainEntry.decode(plain) else { return }
        let zeros = plain.dropFirst(signed.count + signature.count)
        try promise(zeros.allSatisfy { $0 == 0 }, "padding says something")
        try promise(signed + signature + zeros == plain, "a plain entry lost bytes")
        try promise(entry.signed == signed, "a plain entry has two forms")
    }

    /// A member signs and seals whatever it likes.
    private static func checkMember(_ signed: [UInt8]) throws {
        let fixture = try SealedFixture()
        if let content = try? fixture.open(try fixture.seal(signed)).get() {
            try promise(content.body.count <= SealedFixture.bodyBytesMax, "a body above its limit")
            try promise(content.author == fixture.author.publicKey.node, "another author")
        }
    }

    private static func checkGrant(_ bytes: [UInt8]) throws {
        guard let grant = EpochGrant(decoding: bytes) else { return }
        try promise(grant.bytes == bytes, "a grant has two forms")
        let fixture = try SealedFixture()
        let key = fixture.author.publicKey
        guard let epoch = grant.open(with: fixture.author, in: fixture.group, granter: key) else {
            return
        }
        try promise(epoch.secret == fixture.epoch.secret, "a grant was opened that nobody made")
    }

    private static func checkAnswer(_ input: inout FuzzInput) throws {
        let status = input.below(256) << 8 | input.below(256)
        let (reason, retryAfter) = (input.text(), input.text())
        let response = HTTPResponse(
            status: status,
            headers: [
                "starling-reason": reason, "retry-after": retryAfter, "date": retryAfter,
                "starling-entry": retryAfter, "starling-covers": reason,
                "content-length": retryAfter,
            ], body: input.bytes())
        let failure = RelayAnswer.failure(response)
        let wait = failure.retryAfterMilliseconds ?? 0
        try promise(
            (0...RelayClientLimits.retryAfterMillisecondsMax).contains(wait), "a wait of \(wait)")
        try promise((failure.entry ?? 0) >= 0, "an entry below zero")
        let keys = [[UInt8](repeating: 9, count: 20)]
        if let answer = try? RelayAnswer.sync(response, keys: keys) {
            try promise(answer.outcomes.count == 1, "outcomes of another request")
        }
        _ = try? RelayAnswer.snapshot(response)
    }

    private static func checkTexts(_ text: String) throws {
        if let address = try? RelayAddress(text) {
            let again = try? RelayAddress(address.text)
            try promise(again == address, "an address has two forms")
            try promise(
                address.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "an address with signs")
        }
        if let range = HourRange(text: text) {
            try promise(HourRange(text: range.text) == range, "hours have two forms")
        }
        _ = Glob.matches(text, "wlan0")
        _ = Glob.matches("w*n?", text)
        _ = HTTPDate.seconds(text)
    }
}

/// The same group, author and epoch for every input.
private struct SealedFixture {
    static let bodyBytesMax = 4096

    let group: GroupSecret
    let author: NodeKey
    let node: [UInt8]
    let epoch: Epoch
    let key = [UInt8](repeating: 9, count: 20)

    init() throws {
        guard let group = GroupSecret(Array(0..<32)) else {
            throw FuzzFailure(description: "no group")
        }
        self.group = group
        author = try NodeKey(secret: Array(1..<33))
        node = Nodes.bytes(author.publicKey.node) ?? []
        epoch = group.baseEpoch
    }

    func open(_ sealed: [UInt8]) -> Result<SealedContent, OpeningError> {
        let publicKey = author.publicKey
        return Result { () throws(OpeningError) in
            try Opener(group: group).open(
                sealed, key: key, purposes: [.deltaPart, .keyEntry, .snapshotPart],
                bodyBytesMax: Self.bodyBytesMax
            ) { node, _ in node == publicKey.node ? publicKey : nil }
        }
    }

    /// Seals plain bytes as they are, with a good signature.
    func seal(_ signed: [UInt8]) throws -> [UInt8] {
        let name = group.relayGroup
        let salt = [UInt8](repeating: 3, count: SealedForm.saltBytes)
        let head = [SealedForm.version] + epoch.id.encoded + salt
        let signature = try author.sign(
            SealedForm.statement(head: head, group: name, key: key, signed: signed))
        let tag = SealedForm.tag(head: head, key: key, tagKey: group.tagKey)
        let (secret, nonce) = epoch.entryKey(salt: salt, group: name)
        let cipher = try ChaChaPoly.seal(
            signed + signature, key: secret, nonce: nonce,
            authenticating: SealedForm.context(head: head, tag: tag, group: name, key: key))
        return head + tag + cipher
    }
}

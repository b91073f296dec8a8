// Sealed entries: what comes out of them, and that nothing else does.

import RelayClient
import RelayProtocol
import TestKit
import Testing
import Trust

/// A group with two members, and what they need to seal and open.
struct SealFixture {
    let group = GroupSecret()
    let author: NodeKey
    let other: NodeKey
    let epoch = Epoch(number: 1)
    let key = randomBytes(24)

    init() throws { (author, other) = (try NodeKey(), try NodeKey()) }

    var sealer: Sealer { Sealer(group: group, author: author) }

    func opener(_ epochs: Epoch...) -> Opener {
        var opener = Opener(group: group)
        for epoch in epochs { opener.add(epoch) }
        return opener
    }

    func publicKey(_ node: String, _ epoch: EpochID) -> PublicKey? {
        [author, other].map(\.publicKey).first { $0.node == node }
    }

    func open(
        _ sealed: [UInt8], key: [UInt8]? = nil, with opener: Opener? = nil,
        purposes: Set<EntryPurpose> = [.deltaPart], bodyBytesMax: Int = 1 << 20
    ) -> Result<SealedContent, OpeningError> {
        let opener = opener ?? self.opener(epoch)
        return Result { () throws(OpeningError) in
            try opener.open(
                sealed, key: key ?? self.key, purposes: purposes, bodyBytesMax: bodyBytesMax,
                publicKey: publicKey)
        }
    }
}

extension Result where Failure == OpeningError {
    var reason: OpeningError.Reason? {
        if case .failure(let error) = self { error.reason } else { nil }
    }
}

@Suite struct SealTests {
    @Test(arguments: [0, 1, 63, 64, 200, 5000, 300_000])
    func opensWhatWasSealed(count: Int) throws {
        let fixture = try SealFixture()
        for body in [randomBytes(count), [UInt8](repeating: 7, count: count)] {
            for header in [[], randomBytes(40)] {
                for salt in [Sealer.Salt.random, .repeatable] {
                    let sealed = try fixture.sealer.seal(
                        .deltaPart, header: header, body: body, key: fixture.key,
                        epoch: fixture.epoch, salt: salt)
                    let content = SealedContent(
                        purpose: .deltaPart, author: fixture.author.publicKey.node,
                        epoch: fixture.epoch.id, header: header, body: body)
                    #expect(fixture.open(sealed) == .success(content))
                }
            }
        }
    }

    @Test func everyFlippedBitIsRefused() throws {
        let fixture = try SealFixture()
        let sealed = try fixture.sealer.seal(
            .deltaPart, header: [1, 2], body: randomBytes(200), key: fixture.key,
            epoch: fixture.epoch)
        for place in sealed.indices {
            for bit in 0..<8 {
                var changed = sealed
                changed[place] ^= 1 << bit
                let reason = fixture.open(changed).reason
                switch place {
                case 0: #expect(reason == .unknownVersion)
                case ..<69: #expect(reason == .foreign)
                default: #expect(reason == .tampered)
                }
            }
        }
        for count in 0..<sealed.count {
            let reason = fixture.open(Array(sealed.prefix(count))).reason
            #expect(reason == .foreign || reason == .tampered)
        }
        #expect(fixture.open(sealed + [0]).reason == .tampered)
    }

    @Test func anotherPlaceIsRefused() throws {
        let fixture = try SealFixture()
        let sealed = try fixture.sealer.seal(
            .deltaPart, body: [1], key: fixture.key, epoch: fixture.epoch)
        // Another key of the log, another purpose, another group, and no key of the epoch.
        #expect(fixture.open(sealed, key: randomBytes(24)).reason == .foreign)
        #expect(fixture.open(sealed, key: fixture.key + [0]).reason == .foreign)
        #expect(fixture.open(sealed, purposes: [.keyEntry, .snapshotPart]).reason == .wrongPurpose)
        var foreign = Opener(group: GroupSecret())
        foreign.add(fixture.epoch)
        #expect(fixture.open(sealed, with: foreign).reason == .foreign)
        let waiting = fixture.open(sealed, with: fixture.opener())
        #expect(waiting == .failure(OpeningError(.unknownEpoch, epoch: fixture.epoch.id)))
        // An epoch of that name with another secret, as a liar would grant it.
        let liar = try #require(Epoch(id: fixture.epoch.id, secret: randomBytes(32)))
        #expect(fixture.open(sealed, with: fixture.opener(liar)).reason == .tampered)
    }

    @Test func onlyMembersAreHeard() throws {
        let fixture = try SealFixture()
        let stranger = Sealer(group: fixture.group, author: try NodeKey())
        let sealed = try stranger.seal(
            .deltaPart, body: [1], key: fixture.key, epoch: fixture.epoch)
        #expect(fixture.open(sealed).reason == .notMember)
        // A member that says it is another: the caller looks its key up, and the signature fails.
        let own = try fixture.sealer.seal(
            .deltaPart, body: [1], key: fixture.key, epoch: fixture.epoch)
        #expect(throws: OpeningError(.notMember, epoch: fixture.epoch.id, author: fixture.node)) {
            _ = try fixture.opener(fixture.epoch).open(
                own, key: fixture.key, purposes: [.deltaPart], bodyBytesMax: 100,
                publicKey: { _, _ in fixture.other.publicKey })
        }
    }

    @Test func theSizeIsLimitedWhateverItClaims() throws {
        let fixture = try SealFixture()
        // Packed it is small, unpacked not.
        let bomb = try fixture.sealer.seal(
            .deltaPart, body: [UInt8](repeating: 0, count: 1 << 20), key: fixture.key,
            epoch: fixture.epoch)
        #expect(bomb.count < 1000)
        #expect(fixture.open(bomb, bodyBytesMax: (1 << 20) - 1).reason == .tooLarge)
        #expect(fixture.open(bomb, bodyBytesMax: 1 << 20).reason == nil)
        let plain = try fixture.sealer.seal(
            .deltaPart, body: randomBytes(400_000), key: fixture.key, epoch: fixture.epoch)
        #expect(fixture.open(plain, bodyBytesMax: 399_999).reason == .tooLarge)
        #expect(fixture.open(plain, bodyBytesMax: 1000).reason == .tooLarge)
        #expect(fixture.open(plain, bodyBytesMax: 400_000).reason == nil)
    }

    @Test func theSameIsSealedAlike() throws {
        let fixture = try SealFixture()
        func seal(_ body: [UInt8], _ key: [UInt8], _ salt: Sealer.Salt) throws -> [UInt8] {
            try fixture.sealer.seal(
                .deltaPart, body: body, key: key, epoch: fixture.epoch, salt: salt)
        }
        let (key, other) = (fixture.key, randomBytes(24))
        #expect(try seal([1], key, .repeatable) == seal([1], key, .repeatable))
        #expect(try seal([1], key, .random) != seal([1], key, .random))
        // Other content or another key has another salt, and with it another cipher key.
        let salts =
            try [seal([1], key, .repeatable), seal([2], key, .repeatable)]
            + [seal([1], other, .repeatable)]
        #expect(Set(salts.map { Array($0[21..<53]) }).count == 3)
    }

    @Test func sizesTellLittle() throws {
        let fixture = try SealFixture()
        let sizes = try (0..<100).map { count in
            try fixture.sealer.seal(
                .deltaPart, body: randomBytes(count), key: fixture.key, epoch: fixture.epoch
            ).count
        }
        #expect(Set(sizes).count == 1)
        let large = try fixture.sealer.seal(
            .deltaPart, body: randomBytes(1_000_000), key: fixture.key, epoch: fixture.epoch)
        #expect(large.count < 1_040_000)
    }
}

extension SealFixture {
    var node: String { author.publicKey.node }
}

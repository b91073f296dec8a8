// The group's secret, epochs, and how members come to hold them.

import RelayClient
import RelayProtocol
import TestKit
import Testing
import Trust

@Suite struct EpochTests {
    /// Computed by Python's hmac and written down: they stand in members' files and at relays.
    @Test func whatComesOfASecretNeverChanges() throws {
        let group = try #require(GroupSecret(Array(0..<32)))
        let base = group.baseEpoch
        #expect(group.relayGroup.text == "43ea160008271d0845d943a7045f2e23")
        #expect(base.id.number == 0)
        #expect(Hex.text(base.id.bytes) == "377bf75b8dad09a0fe2885ae8c2c24a7")
        #expect(
            Hex.text(base.secret)
                == "a933a89e42e3312315c11a6d2bdd01bf1b81b126214a48119d618db1bf3607fa")
        #expect(
            base.credential(in: group).text
                == "5d083f868c29870055ae7894d0ec12743d6da784371cb3f91d548e5e023fc0e3")
        #expect(GroupSecret([]) == nil)
        #expect(GroupSecret([UInt8](repeating: 0, count: 33)) == nil)
    }

    /// Made by a Python program from the description of the form, byte for byte: what was sealed once can be
    /// read for ever.
    @Test func theFormNeverChanges() throws {
        let group = try #require(GroupSecret(Array(0..<32)))
        let author = try NodeKey(secret: Array(1..<33))
        let key = [UInt8](repeating: 9, count: 16)
        let id = try #require(EpochID(number: 3, bytes: Array(0..<16)))
        let epoch = try #require(Epoch(id: id, secret: Array(100..<132)))
        let sealed = try Sealer(group: group, author: author).seal(
            .keyEntry, header: [1, 2], body: [3, 4], key: key, epoch: epoch)
        #expect(sealed.count == 341)
        #expect(
            Hex.text(sha256(sealed))
                == "57f30ba41b792b48f1f5afd62ca9d1cb37fc6f7c8fef708ea7723782442a1573")
        #expect(
            Hex.text(sealed.prefix(25)) == "0100000003000102030405060708090a0b0c0d0e0f499d319c")
    }

    @Test func idsAreOrdered() throws {
        func id(_ number: UInt32, _ byte: UInt8) throws -> EpochID {
            try #require(EpochID(number: number, bytes: [UInt8](repeating: byte, count: 16)))
        }
        let sorted = try [id(0, 9), id(1, 1), id(1, 2), id(258, 0)]
        #expect(sorted.shuffled().sorted() == sorted)
        for id in sorted { #expect(EpochID(encoded: id.encoded) == id) }
        #expect(sorted[3].encoded.prefix(4) == [0, 0, 1, 2])
        #expect(EpochID(number: 1, bytes: []) == nil)
        #expect(EpochID(encoded: [1]) == nil)
        var opener = Opener(group: GroupSecret())
        #expect(opener.current.id.number == 0)
        let (first, second) = (Epoch(number: 1), Epoch(number: 2))
        opener.add(second)
        opener.add(first)
        #expect(opener.current.id == second.id)
    }

    @Test func credentialsEndWithTheirEpoch() {
        let (group, other) = (GroupSecret(), GroupSecret())
        let (first, second) = (Epoch(number: 1), Epoch(number: 2))
        let all = [
            group.baseEpoch.credential(in: group), first.credential(in: group),
            second.credential(in: group), first.credential(in: other),
        ]
        #expect(Set(all.map(\.text)).count == 4)
    }

    @Test func grantsAreForOneMember() throws {
        let (group, granter, member, other) = (
            GroupSecret(), try NodeKey(), try NodeKey(), try NodeKey()
        )
        let epoch = Epoch(number: 7)
        let grant = try EpochGrant.make(epoch, for: member.publicKey, in: group, by: granter)
        let read = try #require(EpochGrant(decoding: grant.bytes))
        #expect(read == grant)
        #expect(read.epoch == epoch.id)
        #expect(read.granter == granter.publicKey.node)
        #expect(read.receiver == member.publicKey.node)
        let opened = try #require(read.open(with: member, in: group, granter: granter.publicKey))
        #expect(opened.id == epoch.id)
        #expect(opened.secret == epoch.secret)
        #expect(read.open(with: other, in: group, granter: granter.publicKey) == nil)
        #expect(read.open(with: member, in: GroupSecret(), granter: granter.publicKey) == nil)
        #expect(read.open(with: member, in: group, granter: other.publicKey) == nil)
        for place in grant.bytes.indices {
            var bytes = grant.bytes
            bytes[place] ^= 1
            let changed = EpochGrant(decoding: bytes)
            #expect(changed?.open(with: member, in: group, granter: granter.publicKey) == nil)
        }
        #expect(EpochGrant(decoding: grant.bytes + [0]) == nil)
        #expect(EpochGrant(decoding: []) == nil)
    }

    /// The whole of a removal: what is written afterwards is closed to who was removed.
    @Test func aRemovedMemberReadsNothingMore() throws {
        let (group, writer, member, removed) = (
            GroupSecret(), try NodeKey(), try NodeKey(), try NodeKey()
        )
        let epoch = Epoch(number: 1)
        let grant = try EpochGrant.make(epoch, for: member.publicKey, in: group, by: writer)
        let key = randomBytes(32)
        let sealer = Sealer(group: group, author: writer)
        let keyEntry = try sealer.seal(
            .keyEntry, body: grant.bytes, key: key, epoch: group.baseEpoch)
        let secret = try sealer.seal(.deltaPart, body: [1, 2, 3], key: key, epoch: epoch)
        func read(_ reader: NodeKey) throws -> [UInt8] {
            var opener = Opener(group: group)
            let content = try opener.open(
                keyEntry, key: key, purposes: [.keyEntry], bodyBytesMax: 1000
            ) { _, _ in writer.publicKey }
            let granted = EpochGrant(decoding: content.body)?
                .open(with: reader, in: group, granter: writer.publicKey)
            if let granted { opener.add(granted) }
            return try opener.open(secret, key: key, purposes: [.deltaPart], bodyBytesMax: 1000) {
                _, _ in writer.publicKey
            }.body
        }
        #expect(try read(member) == [1, 2, 3])
        #expect(throws: OpeningError(.unknownEpoch, epoch: epoch.id)) { _ = try read(removed) }
    }
}

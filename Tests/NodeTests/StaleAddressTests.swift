// An address that was one member's and is another's now: one more that leads nowhere, and no harm to either.

import Node
import Testing

@Suite(.fewAtOnce) struct StaleAddressTests {
    /// Reproducer: the member that answered at an old address of another ended the dial of that other, and
    /// its own link was given up for the new connection.
    @Test func memberThatAnswersInAnothersPlaceEndsNoDial() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes("ann", "bob", "cid", schema: AttackTests.jobs)
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        try await ann.start()
        try await bob.start(peers: [ann])
        try await cid.start(peers: [ann])
        try await flock.converge(nodes)
        try await bob.stop()
        let (there, moved) = (try #require(ann.address), try #require(cid.address))
        var peers = PeerCache()
        for (node, addresses) in [(ann, [there]), (cid, [moved, there])] {
            for address in addresses {
                peers.note(
                    node: try node.identity.node, name: node.name,
                    address: try #require(HostPort(address)),
                    nowMilliseconds: WallClock.milliseconds())
            }
        }
        for round in 0..<4 {
            try peers.save(to: Home(path: bob.home))
            let before = bob.log.utf8.count
            try await bob.start()
            try await flock.until("bob is linked with both") {
                let states = try await bob.status()["peers"]?.array?.compactMap {
                    $0["state"]?.string
                }
                return states == ["connected", "connected"]
            }
            let log = String(decoding: Array(bob.log.utf8).dropFirst(before), as: UTF8.self)
            let lines = log.split(separator: "\n")
            let links = lines.filter { $0.contains("connected with") }
            flock.expect(links.count == 2, "round \(round): \(log)")
            flock.expect(!log.contains("lost") && !log.contains("refused"), "\(round): \(log)")
            try await bob.stop()
            // What the address is, is known now.
            let known = PeerCache(of: Home(path: bob.home)).entries
            let ofCid = known.first { $0.name == "cid" }?.addresses.map(\.description)
            #expect(ofCid?.first == moved, "\(known)")
        }
    }
}

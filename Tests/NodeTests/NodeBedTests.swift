// Three nodes on three machines with real Avahi daemons: nobody tells them of each other, and the
// network fails them.

import Node
import Testing

@Suite struct NodeBedTests {
    @Test(
        .enabled(if: NodeBed.isAvailable, "needs the bed; the reason is on stderr"),
        .timeLimit(.minutes(5)))
    func threeMachinesFindEachOtherAndOutlastTheNetwork() async throws {
        let flock = Flock()
        let nodes = try await flock.nodes(
            "ann", "bob", "cid",
            schema: "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title, done);")
        let (ann, bob, cid) = (nodes[0], nodes[1], nodes[2])
        let bed = try await NodeBed(machines: 3, in: flock)
        for (index, node) in nodes.enumerated() {
            node.machine = bed.machine(index + 1)
            try await node.start()
        }
        func linked(_ node: TestNode) async throws -> Int {
            (try await node.status()["peers"]?.array ?? []).count {
                $0["state"] == "connected" || $0["state"] == "syncing"
            }
        }
        for node in nodes {
            try await flock.until("\(node.name) finds two peers", 60) {
                try await linked(node) == 2
            }
        }
        let addresses = (try await ann.status()["peers"]?.array ?? []).compactMap {
            $0["address"]?.string
        }
        #expect(addresses.allSatisfy { $0.hasPrefix("10.77.0.") || $0.hasPrefix("[fe80:") })
        try await ann.sql("INSERT INTO jobs VALUES('j1','roof',0),('j2','door',0)")
        try await flock.converge(nodes)

        // One machine is alone with its writes; both sides go on.
        try await bed.run("isolate", "3")
        try await ann.sql("UPDATE jobs SET title = 'ann' WHERE id = 'j1'")
        try await cid.sql("UPDATE jobs SET title = 'cid' WHERE id = 'j1'")
        try await cid.sql("UPDATE jobs SET done = 1 WHERE id = 'j2'")
        try await bob.shows("SELECT title FROM jobs WHERE id = 'j1'", "ann")
        #expect(try await ann.sql("SELECT done FROM jobs WHERE id = 'j2'") == "0\n")
        try await bed.run("heal")
        try await flock.converge(nodes, withinSeconds: 90)
        try await ann.shows("SELECT done FROM jobs WHERE id = 'j2'", "1")
        for node in nodes { #expect(try await node.conflicts().count == 1) }

        // Two do not reach each other: the third one forwards.
        try await bed.run("cut", "1", "2")
        try await ann.sql("INSERT INTO jobs VALUES('j3','by cid',0)")
        try await bob.shows("SELECT title FROM jobs WHERE id = 'j3'", "by cid")
        try await bed.run("heal")

        // Without Avahi the links stand, and the status says what is missing.
        try await bed.run("avahi-stop", "1")
        try await flock.until("ann misses Avahi") {
            (try await ann.status()["problems"]?.array ?? []).contains { $0["code"] == "discovery" }
        }
        try await ann.sql("INSERT INTO jobs VALUES('j4','no avahi',0)")
        try await cid.shows("SELECT title FROM jobs WHERE id = 'j4'", "no avahi")
        try await bed.run("avahi-start", "1")
        try await flock.until("ann has Avahi again", 60) {
            !(try await ann.status()["problems"]?.array ?? []).contains {
                $0["code"] == "discovery"
            }
        }

        // A node comes back at another port, and remembers nobody.
        try await bed.signal(bob, on: 2, "TERM")
        try await bob.process?.exit(withinSeconds: 20)
        _ = try await flock.run(["rm", "-f", "\(bob.home)/peers.json"])
        Files.write("{ listen: \"0.0.0.0:9191\" }", to: "\(bob.home)/config.json5")
        try await cid.sql("DELETE FROM jobs WHERE id = 'j2'")
        try await bob.start()
        try await bob.shows("SELECT count(*) FROM jobs WHERE id = 'j2'", "0", withinSeconds: 60)
        try await flock.converge(nodes, withinSeconds: 60)

        // A machine that dies is missed within 30 s, as it is promised.
        try await bed.run("isolate", "3")
        try await flock.until("the others miss cid", 45) {
            let peers = try await ann.status()["peers"]?.array ?? []
            return peers.contains { $0["name"] == "cid" && $0["state"] != "connected" }
        }
        try await bed.run("heal")
        for (index, node) in nodes.enumerated() {
            try await bed.signal(node, on: index + 1, "TERM")
            #expect(try await node.process?.exit(withinSeconds: 20) == 0)
        }
    }
}

// The library: two nodes inside one program, which writes plain SQL beside them.

import SQLite
import Starling
import TestKit
import Testing
import Values

@Suite struct EmbeddedTests {
    @Test func twoNodesInsideOneProgramSync() async throws {
        let folder = TemporaryDirectory()
        let fingerprint = try StarlingNode.create(home: folder.file("one"), name: "one")
        #expect(fingerprint.count == 29)
        let one = try StarlingNode(
            home: folder.file("one"), listen: "127.0.0.1:0", discovery: false)
        try one.start()
        let app = try Connection(path: folder.file("one/data.db"))
        try app.execute(
            "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, text); INSERT INTO notes VALUES('a','b')"
        )
        try one.track(["notes"])
        let status = try one.ask("status")
        let port = try #require(status.split(separator: "127.0.0.1:").last).prefix { $0 != "\"" }
        let invitation = try one.invite(name: "two")
        try StarlingNode.join(
            home: folder.file("two"), invitation: invitation, discovery: false)
        #expect(throws: StarlingError.self) {
            try StarlingNode.join(
                home: folder.file("three"), invitation: invitation, discovery: false)
        }
        let two = try StarlingNode(
            home: folder.file("two"), listen: "127.0.0.1:0", peers: ["127.0.0.1:\(port)"],
            discovery: false)
        try two.start()
        let other = try Connection(path: folder.file("two/data.db"))
        let arrived = await eventually {
            (try? other.query("SELECT text FROM notes")) == [[.string("b")]]
        }
        #expect(arrived)
        #expect(throws: StarlingError.self) { try one.track(["nowhere"]) }
        try two.stop()
        try one.stop()
        // Stopped nodes have let their files go.
        try one.start()
        try one.stop()
    }

    /// Asks until it is true, at most a minute.
    private func eventually(_ condition: () -> Bool) async -> Bool {
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(60)
        while clock.now < deadline {
            if condition() { return true }
            await Task.yield()
        }
        // On a busy machine the turn may come late: what counts is what is true then.
        return condition()
    }
}

// The settings: the sample is the defaults, everything can be set, and every mistake is named with
// its line and what was meant.

import Node
import TestKit
import Testing

@Suite struct ConfigurationTests {
    private func read(_ text: String) throws -> Configuration {
        try Configuration(json5: Array(text.utf8), file: "config.json5")
    }

    @Test func theSampleIsTheDefaults() throws {
        let sample = Configuration.sample(database: "data.db")
        #expect(try read(sample) == Configuration())
        let package = Path.parent(of: Path.parent(of: Path.parent(of: #filePath)))
        let file = try AtomicFile.read("\(package)/Config/starling.json5", bytesMax: 1 << 20)
        #expect(String(decoding: file, as: UTF8.self) == sample)
        #expect(try read("{}") == Configuration())
        #expect(sample.split(separator: "\n").allSatisfy { $0.count <= 100 })
    }

    @Test func theSampleTakesAnyDatabase() throws {
        let name = "/data/a \"quoted\" \\ name\n.db"
        #expect(try read(Configuration.sample(database: name)).database == name)
    }

    @Test func everythingCanBeSet() throws {
        let configuration = try read(
            """
            // A comment, and all of JSON5's freedom.
            {
                name: 'Kitchen', "db": "/srv/jobs.db", listen: "127.0.0.1:0",
                peers: ["192.168.1.20:7878", 'kitchen.lan', "[fe80::1%eth0]:99",],
                discovery: false, log: "debug", /* more */
                sync: { interval_seconds: 0x10, rounds_per_second: +5 },
                limits: { connections: 7 },
                relay: { forward: false, priority: ["alarms", "jobs"] },
                derived: [
                    { name: "b", from: ["t"], rebuild: "DELETE FROM b", after: ["a"] },
                    { name: "a", from: ["t", "u"], rebuild: "DELETE \\
            FROM a" },
                ],
            }
            """)
        #expect(configuration.name == "Kitchen")
        #expect(configuration.database == "/srv/jobs.db")
        #expect(configuration.listen == HostPort(host: "127.0.0.1", port: 0))
        #expect(
            configuration.peers.map(\.description)
                == ["192.168.1.20:7878", "kitchen.lan:7878", "[fe80::1%eth0]:99"])
        #expect(!configuration.discovery)
        #expect(configuration.log == .debug)
        #expect(configuration.sync.intervalSeconds == 16)
        #expect(configuration.sync.roundsPerSecond == 5)
        #expect(configuration.limits.connections == 7)
        #expect(!configuration.relay.forward)
        #expect(configuration.relay.priority == ["alarms", "jobs"])
        #expect(configuration.derivedInOrder.map(\.name) == ["a", "b"])
        #expect(configuration.derived[1].rebuild == "DELETE FROM a")
        #expect(configuration.derived[1].from == ["t", "u"])
    }

    @Test(arguments: [
        ("{\n  discovry: true\n}", "config.json5 line 2: unknown key \"discovry\"; did you mean "),
        ("{\n discovry: true}", "did you mean \"discovery\"?"),
        ("{\"zzz\":1}", "line 1: unknown key \"zzz\"; known are name, db, listen"),
        (
            "{ sync: {\n\n interval: 5 } }",
            "line 3: unknown key \"interval\" in \"sync\"; did you mean \"interval_seconds\"?"
        ),
        ("{\n\ndiscovery: \"yes\"}", "line 3: \"discovery\" must be true or false, not the text"),
        ("{db: 7}", "\"db\" must be a text in quotes, not the number 7"),
        ("{db: \"\"}", "\"db\" must name a file"),
        ("{name: \"a\\nb\"}", "1 to 64 characters"),
        ("{sync: {interval_seconds: 0}}", "must be from 1 to 86400, not 0"),
        ("{sync: {interval_seconds: 1.5}}", "must be a whole number, not the number 1.5"),
        ("{sync: []}", "expected { … }, not a list"),
        ("{limits: {connections: 99999}}", "must be from 1 to 4096, not 99999"),
        ("{listen: \"7878:x\"}", "\"7878:x\" in \"listen\" is no address: write HOST:PORT"),
        ("{\npeers: [\"a:99999\"]}", "line 2: \"a:99999\" in \"peers\" is no address"),
        ("{peers: \"a:1\"}", "\"peers\" must be a list [ … ] of texts, not the text"),
        ("{log: \"inof\"}", "must be one of debug, info, warning, error, not \"inof\"; did you"),
        ("{derived: [{}]}", "a derived table needs its \"name\""),
        ("{derived: [\n{name: \"a\"}]}", "line 2: the derived table \"a\" needs \"from\""),
        ("{derived: [{name: \"a\", from: [\"t\"]}]}", "needs \"rebuild\""),
        (
            "{derived: [{name:'abc',from:['t'],rebuild:'x'},{name:'b',from:['t'],rebuild:'x',"
                + "after:['abd']}]}",
            "\"b\" comes after \"abd\", which is no derived table; did you mean \"abc\"?"
        ),
        (
            "{derived: [{name:'a',from:['t'],rebuild:'x',after:['b']},"
                + "{name:'b',from:['t'],rebuild:'x',after:['a']}]}",
            "the derived tables a, b wait for each other"
        ),
        (
            "{derived: [{name:'a',from:['t'],rebuild:'x'},{name:'a',from:['t'],rebuild:'x'}]}",
            "the derived table \"a\" stands here twice"
        ),
        ("{\n db: \"x\"\n log: \"info\"}", "line 3, column 2: expected a comma or }"),
        ("{db: \"x}", "line 1, column 6: the text that starts here has no closing quote"),
        ("{ /* open", "the comment that starts here has no end"),
        ("{db: x.db}", "text goes in quotes"), ("{db: true", "expected a comma or }"),
        ("[]", "config.json5: expected { … }, not a list"), ("", "the text ends"),
    ])
    func aMistakeIsNamedWithItsPlaceAndItsRemedy(text: String, words: String) {
        let failure = #expect(throws: NodeError.self) { try read(text) }
        #expect(failure?.code == .badConfiguration)
        #expect(failure?.message.contains(words) == true, "\(failure?.message ?? "")")
        #expect(failure?.message.hasPrefix("config.json5") == true)
    }

    @Test func damagedSettingsNeverCrash() {
        var random = SeededGenerator(seed: 0x5EED_0006)
        let sample = Array(Configuration.sample(database: "data.db").utf8)
        for round in 0..<500 {
            var text = sample
            for _ in 0...random.below(4) {
                text[random.below(text.count)] = UInt8(random.below(256))
            }
            do { _ = try Configuration(json5: text, file: "f") } catch {
                #expect(error.code == .badConfiguration, "seed \(random.seed), round \(round)")
            }
        }
    }

    @Test(arguments: [
        ("a:1", "a:1"), ("a", "a:7878"), ("1.2.3.4:65535", "1.2.3.4:65535"),
        ("[::1]:80", "[::1]:80"), ("::1", "[::1]:7878"), ("[::1]", "[::1]:7878"),
    ])
    func addressesReadAndWrite(text: String, written: String) {
        #expect(HostPort(text)?.description == written)
    }

    @Test(arguments: [
        "", ":", ":80", "a:", "a:65536", "a:-1", "a:+1", "a b:1", "[::1", "[a]:1", "[::1]80",
        "a/b:1", "[::1]:x", "a:1٢",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(HostPort(text) == nil)
    }
}

// The program as an operator has it, and a client in another language.

import Node
import Relay
import RelayProtocol
import TestKit
import Testing

@testable import StarlingCommand

@Suite struct ProgramTests {
    private static let root: String = {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/")
    }()

    private static func python(_ url: String, _ environment: [String] = []) throws -> String {
        let group = TestGroup()
        return try TestProcess.run(
            ["env"] + environment + [
                "python3", "\(root)/Tests/RelayTests/client.py", url, group.name.text,
                group.credential.text,
            ]
        ).output
    }

    @Test(arguments: Engine.allCases) func pythonClientNeedsThePageOnly(engine: Engine) async throws
    {
        try await onThread {
            let relay = try TestRelay(engine)
            #expect(try Self.python("http://127.0.0.1:\(relay.server.port)") == "ok\n")
        }
    }

    @Test func servesHTTPS() async throws {
        try await onThread {
            let folder = TemporaryDirectory()
            let (key, certificate) = (folder.file("key.pem"), folder.file("certificate.pem"))
            let made = try TestProcess.run([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
            ])
            #expect(made.code == 0, "\(made.output)")
            let relay = try TestRelay(.sqlite) { ($0.key, $0.certificate) = (key, certificate) }
            let url = "https://127.0.0.1:\(relay.server.port)"
            #expect(try Self.python(url, ["SSL_CERT_FILE=\(certificate)"]) == "ok\n")
            #expect(throws: RelayError.self) {
                try TestRelay(.sqlite) { ($0.key, $0.certificate) = (certificate, certificate) }
            }
        }
    }

    @Test(arguments: Engine.allCases) func operatorsSeeAndRemove(engine: Engine) async throws {
        try await onThread {
            let place = try TestStorage(engine)
            let words =
                switch place.storage {
                case .file(let path): ["--store", path]
                case .postgreSQL(let url): ["--postgres", url]
                }
            func starling(_ command: String...) throws -> (code: Int32, output: String) {
                try TestProcess.run([RelayProcess.program, "relay"] + command + words)
            }
            let relay = try RelayProcess(place.storage, [])
            let (group, client) = (TestGroup(), try relay.client())
            #expect(try client.enrol(group).reason == "token-needed")
            var headers = group.headers
            headers["Starling-Token"] = String(
                try starling("token", "--uses", "2").output.dropLast())
            #expect(try client.request("PUT", group.path, headers).status == 201)
            _ = try client.sync(group, [LogEntry(1)])
            #expect(try starling("groups").output.hasPrefix(group.name.text))
            let usage = try starling("usage", group.name.text, "--json").output
            #expect(usage.contains("\"entries\":1,"), "\(usage)")
            #expect(try starling("usage", "--json").output.contains("\"groups\":1"))
            #expect(try starling("token", "--revoke").output.hasPrefix("1 token cannot"))
            #expect(try starling("delete", group.name.text).code == 0)
            #expect(try starling("delete", group.name.text).code == 1)
            #expect(try client.sync(group).status == 401)
        }
    }

    @Test func saysWhatIsWrong() async throws {
        try await onThread {
            let folder = TemporaryDirectory()
            func starling(_ words: String...) throws -> (code: Int32, output: String) {
                try TestProcess.run([RelayProcess.program, "relay"] + words)
            }
            let nowhere = try starling("serve", "--store", folder.file("no/such/folder/relay.db"))
            #expect(nowhere.code == 1)
            let away = try starling("serve", "--postgres", "postgresql://127.0.0.1:1/none")
            #expect(away.code == 1)
            #expect(away.output.contains("database"))
            #expect(try starling("groups", "--store", folder.file("none.db")).code == 1)
            #expect(try starling("serve", "--key", "x").code == 2)
            let taken = try RelayProcess(.file(folder.file("relay.db")))
            let second = try starling(
                "serve", "--store", folder.file("b.db"), "--listen", "127.0.0.1:\(taken.port)")
            #expect(second.code == 1)
            #expect(second.output.contains("cannot listen"))
            let unreadable = try starling("serve", "--config", folder.file("none.json5"))
            #expect(unreadable.code == 5)
        }
    }

    /// `Config/relay.json5` says what the defaults are.
    @Test func sampleHoldsTheDefaults() throws {
        let path = "\(Self.root)/Config/relay.json5"
        let bytes = try AtomicFile.read(path, bytesMax: 1 << 20)
        var expected = RelayConfiguration()
        expected.storage = .file("/folder/relay.db")
        #expect(
            try RelayConfiguration(json5: bytes, file: path, folder: "/folder") == expected)
    }

    @Test func settingsAreChecked() throws {
        func read(_ text: String) throws -> RelayConfiguration {
            try RelayConfiguration(json5: Array(text.utf8), file: "relay.json5", folder: "/f")
        }
        let read1 = try read(
            "{listen: '[::]:443', postgres: 'postgresql:///x', open: true, quota: {bytes: 5}}")
        #expect(read1.port == 443)
        #expect(read1.host == "::")
        #expect(read1.storage == .postgreSQL("postgresql:///x"))
        #expect(read1.quota.bytes == 5)
        for text in [
            "{store: 'a', postgres: 'b'}", "{key: 'a'}", "{quotas: {}}", "{quota: {bytes: 0}}",
            "{listen: 'a b'}", "[]", "{open: 1}",
        ] {
            #expect(throws: NodeError.self, "\(text)") { try read(text) }
        }
    }
}

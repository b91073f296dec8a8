// What people and programs write as text: JSON, the control socket, the configuration, the files of
// the home folder, addresses, groups and tokens.

import CausalModel

@testable import Node
@testable import Transport

private let jsonWords = phrases(
    "null", "true", "false", "\\u", "\\ud83d\\ude00", "\\n", "1e400", "-0.0", "0x1F", "/*", "*/",
    "//", "{", "}", "[", "]", "\"", "'", ":", ",")

extension FuzzTarget {
    static let json = FuzzTarget(
        name: "json", bytesMax: 256, words: jsonWords,
        seeds: {
            [
                #"{"a":[1,-2.5e3,true,null,"\u00e9\ud83d\ude00\n"],"b":{},"c":[]}"#, "0", "\"\"",
                String(repeating: "[", count: 70), "-9223372036854775808", "1e-7",
            ].map { Array($0.utf8) }
        },
        check: { bytes in
            let limits = JSONLimits(bytesMax: 200, depthMax: 12, valuesMax: 60)
            let value: JSONValue
            do throws(JSONError) {
                value = try JSONValue(parsing: bytes, limits: limits)
            } catch {
                try promise(error.line >= 1 && error.column >= 1, "an error is nowhere")
                return
            }
            try promise(bytes.count <= 200, "a text above its limit")
            let again = value.encoded
            try promise(!again.contains(0x0a), "a line break in one line")
            let second = try JSONValue(parsing: again)
            try promise(second == value && second.encoded == again, "a value does not come again")
        })

    static let control = FuzzTarget(
        name: "control", bytesMax: 256,
        words: jsonWords + phrases("\"v\":1", "\"command\"", "\"arguments\"", "\"event\"", "\"ok\"")
            + phrases("\"result\"", "\"error\"", "\"code\"", "\"message\"", "\n"),
        seeds: {
            let request = ControlRequest(command: "wait", arguments: ["timeout_ms": 5])
            let replies: [ControlReply] = [
                .event(["x": 1]), .result([:]), .error(ControlError(code: "c", message: "m")),
            ]
            return [[3] + request.line + request.line] + replies.map { [9] + $0.line }
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            let piece = 1 + Int(input.byte())
            let stream = input.all()
            var lines = ControlLines(lineBytesMax: 200)
            var found: [[UInt8]] = []
            for start in stride(from: 0, to: stream.count, by: piece) {
                lines.append(stream[start..<min(start + piece, stream.count)])
                do { while let line = try lines.next() { found.append(line) } } catch { break }
            }
            let expected = stream.split(separator: 0x0a, omittingEmptySubsequences: false)
            try promise(found == expected.prefix(found.count).map(Array.init), "other lines")
            for line in found.prefix(3) {
                if let request = try? ControlRequest(line: line) {
                    try promise(
                        try ControlRequest(line: request.line.dropLast()) == request,
                        "a request does not come again")
                } else if let reply = try? ControlReply(line: line) {
                    try promise(
                        try ControlReply(line: reply.line.dropLast()) == reply,
                        "a reply does not come again")
                }
            }
        })

    static let configuration = FuzzTarget(
        name: "configuration", bytesMax: 512,
        words: jsonWords
            + phrases(
                "name", "db", "listen", "peers", "discovery", "sync", "derived", "log", "limits",
                "interval_seconds", "rounds_per_second", "connections", "from", "rebuild", "after",
                "warning", "[::1]:7878", "host:1"),
        seeds: {
            [
                #"{name: 'a', db: "x", listen: "[::1%eth0]:1", peers: ["h:2"], discovery: false}"#,
                #"{sync: {interval_seconds: 5,}, limits: {connections: 0x10}, log: "debug"}"#,
                #"{derived: [{name: "t", from: ["a"], rebuild: "x", after: []}] /* x */}"#,
                #"{derived: [{name: "t", from: ["a"], rebuild: "x", after: ["t"]}]} // y"#,
                "{nmae: 1}",
            ].map { Array($0.utf8) }
        },
        check: { bytes in
            let read: Configuration
            do throws(NodeError) {
                read = try Configuration(json5: bytes, file: "config.json5")
            } catch {
                try promise(error.code == .badConfiguration, "another code: \(error.code)")
                try promise(error.message.hasPrefix("config.json5"), "the file is not named")
                return
            }
            try promise(
                (1...86_400).contains(read.sync.intervalSeconds)
                    && (1...10_000).contains(read.sync.roundsPerSecond)
                    && (1...4096).contains(read.limits.connections), "a number out of its range")
            try promise(
                read.derivedInOrder.count == read.derived.count, "a derived table has no place")
            for peer in read.peers + [read.listen] {
                try promise(HostPort(peer.description) == peer, "\(peer) is another address")
            }
        })

    /// identity.json, peers.json, marker, lock.
    static let files = FuzzTarget(
        name: "files", bytesMax: 384, words: jsonWords,
        seeds: {
            let identity = Identity(
                node: Identity.exampleID, name: "Büro", group: Identity.exampleID,
                createdMilliseconds: 1)
            var peers = PeerCache()
            peers.note(
                node: Identity.exampleID, name: "n", address: HostPort(host: "::1", port: 1),
                nowMilliseconds: 1)
            let marker = MarkerContent(
                nonce: 5, origin: sampleOrigins[0], exported: 7, told: 6, toldTotal: 9,
                device: 1, inode: 2, born: 3,
                boot: "b", isClean: true)
            return [[0] + identity.content, [1] + marker.content, [2] + peers.content]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            switch input.below(3) {
            case 0:
                guard let identity = Identity(content: input.all()) else { return }
                try promise(Identity(content: identity.content) == identity, "another identity")
            case 1:
                guard let marker = MarkerContent(content: input.all()) else { return }
                try promise(MarkerContent(content: marker.content) == marker, "another marker")
            default:
                let peers = PeerCache(content: input.all())
                try promise(peers.entries.count <= PeerCache.entriesMax, "too many peers")
                try promise(PeerCache(content: peers.content) == peers, "other peers")
            }
        })

    /// Addresses, groups, names, origins, tokens: what a person pastes.
    static let text = FuzzTarget(
        name: "text", bytesMax: 96,
        words: ["[", "]", ":", "%lo", "::1", "65535", "65536", "0", "-"].map { Array($0.utf8) },
        seeds: {
            [
                "192.168.1.20:7878", "[fe80::1%eth0]:7878", "fd00::1", "host", "::",
                "c1d51816-5e5a622f-a1cf790b-53bb1826", "01" + Identity.exampleID + "05", "Büro",
            ].map { Array($0.utf8) }
        },
        check: { bytes in try checkWords(String(decoding: bytes, as: UTF8.self)) })

    private static func checkWords(_ text: String) throws {
        if let address = HostPort(text) {
            try promise(HostPort(address.description) == address, "\(address) is another address")
        }
        if let endpoint = try? Endpoint(parsing: text, defaultPort: 1) {
            try promise(
                (try? Endpoint(parsing: endpoint.description)) == endpoint,
                "\(endpoint) is another endpoint")
        }
        if let group = try? Identity.checkedGroup(text) {
            try promise(
                group.utf8.count == 32 && (try? Identity.checkedGroup(group)) == group,
                "a group is no group")
        }
        if let name = try? Identity.checkedName(text) {
            try promise(!name.isEmpty && name.utf8.count <= 255, "a name is out of its bounds")
        }
        if let origin = Origin(hex: text) {
            try promise(origin.hex == text.lowercased(), "an origin has two spellings")
        }
        if let vector = try? NodeContext.vector(token: text), !vector.isEmpty {
            try promise(NodeContext.token(vector) == text.lowercased(), "a token has two spellings")
        }
        if let bytes = Hexadecimal.bytes(text) {
            try promise(Hexadecimal.text(bytes) == text.lowercased(), "digits do not come again")
        }
    }
}

extension Identity {
    fileprivate static let exampleID = "c1d518165e5a622fa1cf790b53bb1826"
}

// The commands of a member about the relay that its group uses.

import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension OptionSpec {
    static let relayTokenText = OptionSpec(
        name: "--token", placeholder: "TOKEN",
        help: "the operator's token; other users of this machine can see it meanwhile")
    static let relayTokenFile = OptionSpec(
        name: "--token-file", placeholder: "FILE", kind: .file,
        help: "a file with the token; - reads it from standard input")
}

extension CommandSpec {
    static let relayJoin = CommandSpec(
        path: ["relay", "join"], summary: "let the group sync through a relay, too",
        discussion: """
            Enrols the group at the relay, and tells all members of it: each node with internet forwards
            what it has and reads what others forwarded. The relay sees sizes and times, and no content.
            Nothing changes on the local network, which works without the relay as before.

            The token can also stand in STARLING_RELAY_TOKEN. Without URL, the relay that the group has is
            enrolled again.
            """,
        options: [.relayTokenText, .relayTokenFile],
        operands: [
            OperandSpec(
                placeholder: "URL", arity: .optional, help: "such as https://relay.example.org")
        ],
        examples: [
            "starling relay join https://relay.example.org --token-file token.txt",
            "starling relay join http://127.0.0.1:7879 --token-file - < token",
        ],
        action: .control(
            ControlPlan(
                command: "relay.join", silenceMilliseconds: 60_000,
                arguments: { (invocation) throws(UsageError) in
                    [
                        "url": JSONValue(optional: invocation.operands.first),
                        "token": JSONValue(optional: try relayToken(invocation)),
                    ]
                },
                view: { RelayJoinView() })))

    static let relayLeave = CommandSpec(
        path: ["relay", "leave"], summary: "let the group sync without its relay again",
        discussion: """
            For all members. What the relay holds stays there until its operator deletes it. For this node
            alone, set "forward" of "relay" to false in its configuration.
            """,
        action: .control(ControlPlan(command: "relay.leave", view: { RelayJoinView() })))

    private static func relayToken(_ invocation: Invocation) throws(UsageError) -> String? {
        if let text = invocation.value(.relayTokenText) { return text }
        guard let file = invocation.value(.relayTokenFile) else {
            return getenv("STARLING_RELAY_TOKEN").map { String(cString: $0) }
        }
        let path = file == "-" ? "/dev/stdin" : Path.absolute(file, in: Path.currentFolder())
        let content: [UInt8]
        do { content = try AtomicFile.read(path, bytesMax: 4096) } catch {
            throw UsageError(message: error.explain("cannot read the token from \(file)"))
        }
        let line = content.prefix { $0 != 0x0a && $0 != 0x0d }
        guard !line.isEmpty else { throw UsageError(message: "the token in \(file) is empty") }
        return String(decoding: line, as: UTF8.self)
    }
}

/// The answer of `relay join` and `relay leave`.
struct RelayJoinView: ReplyView {
    func render(_ result: JSONValue, on page: Page) {
        let url = Words.safe(result["url"]?.string ?? "")
        switch result["action"]?.string {
        case "enrolled": page.print("The group syncs through \(url) from now on.")
        case "known": page.print("The group syncs through \(url); the relay had it already.")
        case "left": page.print("The group does not use \(url) any more.")
        default: page.print("The group uses no relay.")
        }
        if result["encrypted"] == false {
            page.print(
                page.paint(
                    "The connection is not encrypted: who can listen to it can read and fill the log, though "
                        + "not what is in it.", .warning))
        }
    }
}

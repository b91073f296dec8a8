// What a relay reads of strangers, and a client of a relay: bodies of sync, positions, lines of requests.

import RelayProtocol

@testable import Relay

extension FuzzTarget {
    /// Bodies and answers of the framing, names and positions as digits, paths and queries.
    static let relay = FuzzTarget(
        name: "relay", bytesMax: 512,
        words: phrases(
            "SRL\u{1}", "/v1/groups/", "/sync", "/snapshot", "/credential", "Bearer ", "POST",
            "PUT",
            "GET"),
        seeds: {
            let entries = [
                LogEntry(key: [UInt8](repeating: 1, count: 16), content: [1, 2, 3]),
                LogEntry(key: [UInt8](repeating: 2, count: 64), content: []),
            ]
            let position = LogPosition(
                generation: Array(0..<8), number: 258, link: Array(8..<16))
            let answer = SyncAnswer(
                outcomes: [.appended, .known],
                items: [.entry(entries[0]), .own(key: entries[1].key)],
                hasMore: true, position: position)
            let group = String(repeating: "ab", count: 16)
            let credential = "Bearer " + String(repeating: "cd", count: 32)
            func head(_ method: String, _ path: String, _ query: String) -> [UInt8] {
                [3]
                    + [method, path, query, "10", credential, ""].flatMap {
                        FuzzInput.piece(Array($0.utf8))
                    }
            }
            return [
                [0] + Framing.request(entries), [1] + answer.encoded,
                [2] + Array(position.text.utf8), [2] + Array(group.utf8),
                head("POST", "/v1/groups/\(group)/sync", position.text),
                head("PUT", "/v1/groups/\(group)/snapshot", position.text),
                head("GET", "/healthz", ""),
            ]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            switch input.below(4) {
            case 0: try checkRequest(input.all())
            case 1:
                let body = input.all()
                guard let answer = try? SyncAnswer(decoding: body) else { return }
                try promise(answer.encoded == body, "an answer has two forms")
            case 2:
                let text = String(decoding: input.all(), as: UTF8.self)
                if let found = LogPosition(text: text) {
                    try promise(found.text == text, "a position has two forms")
                }
                if let found = GroupName(text: text) {
                    try promise(found.text == text, "a group has two names")
                }
                if let found = Credential(text: text) {
                    try promise(found.text == text, "a credential has two forms")
                }
            default: try checkHead(&input)
            }
        })

    private static func checkRequest(_ body: [UInt8]) throws {
        guard let entries = try? Framing.entries(ofRequest: body) else { return }
        try promise(entries.count <= Framing.entryCountMax, "too many entries")
        try promise(
            entries.allSatisfy { Framing.keyBytes.contains($0.key.count) },
            "a key of another length")
        // Only nothing at all is written in two ways.
        let again = Framing.request(entries)
        try promise(again == body || body.isEmpty, "a request has two forms")
    }

    private static func checkHead(_ input: inout FuzzInput) throws {
        let (method, path, query) = (input.text(), input.text(), input.text())
        let (number, credential, token) = (input.text(), input.text(), input.text())
        let head = RequestHead(
            method: method, path: path, query: { $0 == "wait" ? number : query },
            header: { name in
                switch name {
                case "Authorization": credential
                case "Content-Length": number
                default: token
                }
            })
        guard let request = try? RelayRequest(head) else { return }
        if case .sync(_, let seconds) = request.kind {
            try promise((0...RelayLimits.waitSecondsMax).contains(seconds), "a longer wait")
        }
        let isOpenToAll = request.kind == .health || request.kind == .metrics
        try promise(isOpenToAll == (request.access == nil), "a group without a credential")
        _ = request.bodyBytesMax(RelayConfiguration())
    }
}

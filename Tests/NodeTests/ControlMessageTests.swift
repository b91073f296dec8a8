// The messages of the control socket, both ways, and the cutting of a stream into lines.

import Node
import TestKit
import Testing

@Suite struct ControlMessageTests {
    @Test func aRequestHasItsDocumentedBytes() throws {
        let request = ControlRequest(command: "records", arguments: ["table": "a\nb"])
        let text = "{\"v\":1,\"command\":\"records\",\"arguments\":{\"table\":\"a\\nb\"}}"
        #expect(request.line == Array(text.utf8) + [0x0a])
        #expect(try ControlRequest(line: Array(text.utf8)) == request)
        // What a later version adds is passed over; arguments may be missing.
        let later = "{\"v\":1,\"command\":\"status\",\"trace\":7}"
        #expect(try ControlRequest(line: Array(later.utf8)) == ControlRequest(command: "status"))
    }

    @Test(arguments: [
        "", "[]", "{}", "{\"v\":1}", "{\"command\":\"status\"}", "{\"v\":2,\"command\":\"status\"}",
        "{\"v\":1,\"command\":7}", "{\"v\":1,\"command\":\"status\",\"arguments\":[]}",
        "{\"v\":1,\"command\":\"status\"", "\u{0}\u{1}",
    ])
    func aRequestThatIsNoneIsNamed(text: String) {
        let failure = #expect(throws: ControlError.self) {
            try ControlRequest(line: Array(text.utf8))
        }
        #expect(failure?.code == "bad_message")
    }

    @Test(arguments: [
        (ControlReply.event(["progress": ["done": 1]]), "{\"event\":{\"progress\":{\"done\":1}}}"),
        (.result([:]), "{\"ok\":true,\"result\":{}}"),
        (
            .error(ControlError(code: "refused", message: "no")),
            "{\"ok\":false,\"error\":{\"code\":\"refused\",\"message\":\"no\"}}"
        ),
    ])
    func aReplyHasItsDocumentedBytes(reply: ControlReply, text: String) throws {
        #expect(reply.line == Array(text.utf8) + [0x0a])
        #expect(try ControlReply(line: Array(text.utf8)) == reply)
    }

    @Test func linesComeWholeHoweverTheyAreCut() throws {
        var random = SeededGenerator(seed: 0x5EED_0005)
        for _ in 0..<100 {
            let sent: [[UInt8]] = (0..<random.below(20)).map { _ in
                (0..<random.below(30)).map { _ in UInt8(random.below(200) + 11) }
            }
            let stream: [UInt8] = sent.flatMap { line in line + [0x0a] }
            var lines = ControlLines(lineBytesMax: 64)
            var received: [[UInt8]] = []
            var index = 0
            while index < stream.count {
                let end = min(stream.count, index + 1 + random.below(50))
                lines.append(stream[index..<end])
                index = end
                while let line = try lines.next() { received.append(line) }
            }
            #expect(received == sent, "seed \(random.seed)")
        }
    }

    @Test func aLineThatIsTooLongIsRefusedBeforeItEnds() throws {
        var lines = ControlLines(lineBytesMax: 8)
        lines.append([UInt8](repeating: 1, count: 8))
        #expect(try lines.next() == nil)
        lines.append([1])
        #expect(throws: ControlError.self) { try lines.next() }
    }
}

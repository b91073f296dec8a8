// The messages of the control socket: one JSON object per line in each direction. A request asks
// for one command; the answer is any number of events and then one result or one error.

/// `{"v":1,"command":"status","arguments":{…}}`
package struct ControlRequest: Sendable, Equatable {
    /// The version of the control protocol, not of the program.
    package static let version: Int64 = 1

    package var command: String
    package var arguments: JSONObject
    /// Which request this is among those that a server holds open; not on the wire.
    package var id: UInt64 = 0

    package init(command: String, arguments: JSONObject = [:]) {
        self.command = command
        self.arguments = arguments
    }

    /// Reads one line, without its line break. Unknown members are ignored, so that they can be
    /// added; another version is refused.
    package init(line: [UInt8]) throws(ControlError) {
        let limits = JSONLimits(bytesMax: ControlLimits.requestBytesMax, depthMax: 32)
        let value: JSONValue
        do { value = try JSONValue(parsing: line, limits: limits) } catch {
            throw ControlError(.badMessage, "the request is not JSON: \(error)")
        }
        guard let version = value["v"]?.int, let command = value["command"]?.string else {
            throw ControlError(
                .badMessage, "a request is {\"v\":1,\"command\":\"…\",\"arguments\":{…}}")
        }
        guard version == Self.version else {
            throw ControlError(
                .badMessage,
                "the request has protocol version \(version) and this node speaks "
                    + "\(Self.version): use the starling command of the node's version")
        }
        let arguments = value["arguments"] ?? [:]
        guard let object = arguments.object else {
            throw ControlError(.badMessage, "the arguments of a request are an object")
        }
        self.init(command: command, arguments: object)
    }

    /// The line to send, line break included.
    package var line: [UInt8] {
        let value: JSONValue = [
            "v": .int(Self.version), "command": .string(command), "arguments": .object(arguments),
        ]
        return value.encoded + [0x0a]
    }
}

/// One line of an answer.
package enum ControlReply: Sendable, Equatable {
    /// `{"event":{…}}`: progress, a change, a batch of records. More follows.
    case event(JSONValue)
    /// `{"ok":true,"result":{…}}`: the last line.
    case result(JSONValue)
    /// `{"ok":false,"error":{"code":"…","message":"…"}}`: the last line.
    case error(ControlError)

    /// Reads one line, without its line break.
    package init(line: [UInt8]) throws(ControlError) {
        let limits = JSONLimits(bytesMax: ControlLimits.replyBytesMax)
        let value: JSONValue
        do { value = try JSONValue(parsing: line, limits: limits) } catch {
            throw ControlError(.badMessage, "the node's answer is not JSON: \(error)")
        }
        if let event = value["event"] {
            self = .event(event)
        } else if value["ok"] == true, let result = value["result"] {
            self = .result(result)
        } else if value["ok"] == false, let code = value["error"]?["code"]?.string,
            let message = value["error"]?["message"]?.string
        {
            self = .error(ControlError(code: code, message: message))
        } else {
            throw ControlError(
                .badMessage, "the node's answer is none that this command knows")
        }
    }

    /// Whether nothing follows.
    package var isFinal: Bool { if case .event = self { false } else { true } }

    /// The line to send, line break included.
    package var line: [UInt8] {
        let value: JSONValue =
            switch self {
            case .event(let event): ["event": event]
            case .result(let result): ["ok": true, "result": result]
            case .error(let error):
                [
                    "ok": false,
                    "error": ["code": .string(error.code), "message": .string(error.message)],
                ]
            }
        return value.encoded + [0x0a]
    }
}

/// Limits of the control socket. Requests are small; an answer can hold a vector of 10,000 origins.
package enum ControlLimits {
    package static let requestBytesMax = 1 << 20
    package static let replyBytesMax = 16 << 20
}

/// Cuts a stream of bytes into lines.
package struct ControlLines {
    private var pending: [UInt8] = []
    /// Where the next line starts in `pending`.
    private var start = 0
    /// No line break stands before this place.
    private var searched = 0
    private let lineBytesMax: Int

    package init(lineBytesMax: Int) { self.lineBytesMax = lineBytesMax }

    /// Adds received bytes. Amortised O(bytes).
    package mutating func append(_ bytes: some Sequence<UInt8>) {
        if start > 0, start * 2 >= pending.count {
            pending.removeFirst(start)
            searched -= start
            start = 0
        }
        pending.append(contentsOf: bytes)
    }

    /// The next whole line without its line break, or nil until more bytes come.
    ///
    /// - Throws: `badMessage` when a line is longer than allowed; the stream is then of no use.
    package mutating func next() throws(ControlError) -> [UInt8]? {
        let end = pending[searched...].firstIndex(of: 0x0a)
        guard (end ?? pending.count) - start <= lineBytesMax else {
            throw ControlError(.badMessage, "a message is longer than \(lineBytesMax) bytes")
        }
        guard let end else {
            searched = pending.count
            return nil
        }
        let line = Array(pending[start..<end])
        start = end + 1
        searched = start
        return line
    }
}

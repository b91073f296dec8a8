// The records of one table, page by page, so that a table of any size needs neither memory nor the
// loop for long.

internal import Store

/// How far one `records` command has come.
struct RecordListing {
    private let table: String
    private let state: RecordFacts.State?
    private var next: [UInt8]? = []
    private var counts: [RecordFacts.State: Int64] = [:]

    private static let batchCount = 256

    /// Sends the head of the answer.
    ///
    /// - Throws: `usage` without a table or with an unknown state.
    init(
        _ arguments: JSONObject, _ context: NodeContext, reply: (ControlReply) -> Void
    ) throws {
        guard let table = arguments["table"]?.string else {
            throw NodeError(.usage, "name a table")
        }
        self.table = table
        state = try arguments["state"]?.string.map { text in
            guard let known = RecordFacts.State(rawValue: text) else {
                let all = RecordFacts.State.allCases.map(\.rawValue).joined(separator: ", ")
                throw NodeError(.usage, "there is no state \(text): use one of \(all)")
            }
            return known
        }
        let peers: [JSONValue] = try context.replica.peerStatements().map {
            [
                "node": .string($0.node), "name": .string($0.name),
                "never_seen": .bool($0.seenMilliseconds <= 0),
            ]
        }
        reply(.event(["peers": .array(peers)]))
    }

    /// Sends the next page; returns the answer's result after the last one.
    mutating func page(
        of context: NodeContext, reply: (ControlReply) -> Void
    ) throws -> JSONValue? {
        guard let after = next else { return result }
        var batch: [JSONValue] = []
        var counts = counts
        next = try context.replica.records(of: table, state: state, after: after) { record in
            counts[record.state, default: 0] += 1
            batch.append(Self.json(record))
            if batch.count == Self.batchCount {
                reply(.event(["records": .array(batch)]))
                batch.removeAll(keepingCapacity: true)
            }
        }
        self.counts = counts
        if !batch.isEmpty { reply(.event(["records": .array(batch)])) }
        return next == nil ? result : nil
    }

    private static func json(_ record: RecordFacts) -> JSONValue {
        var item: JSONObject = [
            "key": JSONValue(row: record.key), "state": .string(record.state.rawValue),
            "peers": .array(record.peers.map { .string($0) }),
        ]
        if let reason = record.parkReason { item["reason"] = .string(reason) }
        if record.isDeleted { item["deleted"] = true }
        return .object(item)
    }

    private var result: JSONValue {
        var totals = JSONObject()
        for state in RecordFacts.State.allCases {
            totals.append(state.rawValue, .int(counts[state] ?? 0))
        }
        return ["table": .string(table), "counts": .object(totals)]
    }
}

// Commands on a home folder on which no node runs: the same answers, from the file alone.

internal import CausalModel
internal import Store

extension NodeContext {
    /// One request that needs no network.
    func answer(_ request: ControlRequest, reply: (ControlReply) -> Void) throws -> JSONValue {
        let arguments = request.arguments
        switch request.command {
        case "track", "untrack":
            return try track(arguments, isTracking: request.command == "track")
        case "records": return try records(arguments, reply: reply)
        case "conflicts": return try conflictsList()
        case "conflicts.show": return try conflictShow(arguments["id"]?.string ?? "")
        case "conflicts.restore", "conflicts.dismiss":
            return try conflictSettle(
                arguments["id"]?.string ?? "", isRestore: request.command == "conflicts.restore")
        case "members": return try membersFacts()
        case "members.add": return try addMember(arguments)
        case "members.remove": return try removeMember(arguments)
        case "members.evict": return try evictMember(arguments)
        case "members.rename": return try renameMember(arguments)
        case "members.role": return try setMemberRole(arguments)
        case "digest": return try digestFacts()
        case "backup": return try backup(arguments)
        default:
            throw NodeError(
                .unknownCommand, "this node does not know the command \(request.command)")
        }
    }
}

/// Answers from the file; holds the home's lock while it lives.
package final class OfflineHandler: CommandHandler {
    private let context: NodeContext

    package init(home: Home, pid: Int32) throws { context = try NodeContext(home: home, pid: pid) }

    package func handle(_ request: ControlRequest, reply: @escaping (ControlReply) -> Void) {
        let answered = Result { try answer(request, reply: reply) }
        do {
            // A refused command leaves the file as clean as one that went well.
            try context.close()
            reply(.result(try answered.get()))
        } catch {
            reply(.error(ControlError.of(error)))
        }
    }

    private func answer(_ request: ControlRequest, reply: (ControlReply) -> Void) throws
        -> JSONValue
    {
        switch request.command {
        case "status":
            return try context.statusFacts(peers: try context.storedPeers(), live: nil)
        case "peers":
            return [
                "peers": .array(try context.storedPeers().map(\.json)),
                "now_ms": .int(WallClock.milliseconds()),
            ]
        case "doctor":
            return ["checks": .array(Doctor.checks(context, live: nil).map(\.json))]
        case "watch":
            let names = (request.arguments["tables"]?.array ?? []).compactMap(\.string)
            let since =
                try request.arguments["since"]?.string.map { try NodeContext.vector(token: $0) }
                ?? context.replica.vector
            let end = try context.changes(
                since: since, tables: names.isEmpty ? nil : Set(names.map(\.asciiLowercased)),
                reply: reply)
            return ["since": .string(NodeContext.token(end))]
        case "track":
            let result = try context.answer(request, reply: reply)
            // Nobody else works on the file: what is there is numbered now.
            try context.replica.finishScans()
            return result
        default: return try context.answer(request, reply: reply)
        }
    }
}

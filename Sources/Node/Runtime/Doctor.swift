// `starling doctor`: what could stand in the way, each with what to do about it.

internal import CausalModel
internal import SQLite
internal import Store
internal import Sync

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

enum Doctor {
    private static let freeBytesMin: UInt64 = 100 << 20

    static func checks(_ context: NodeContext, live: NodeService?) -> [DoctorCheck] {
        var checks = [DoctorCheck("home", .ok, context.home.path)]
        checks.append(contentsOf: file(context, isRunning: live != nil))
        checks.append(contentsOf: tables(context))
        checks.append(library())
        checks.append(space(context.replica.path))
        checks.append(clock(context))
        if context.members.ownRole == nil {
            checks.append(DoctorCheck("members", .fail, "this node was removed from its group"))
        }
        checks.append(contentsOf: network(context, live))
        return checks
    }

    /// A running node reads at most this much at once: its peers wait meanwhile.
    private static let checkedBytesMax: Int64 = 64 << 20

    private static func integrity(_ context: NodeContext, isRunning: Bool) throws -> DoctorCheck {
        let path = context.replica.path
        let bytes = Path.size(of: path)
        guard !isRunning || bytes <= checkedBytesMax else {
            return DoctorCheck(
                "file", .warn, "\(path) has \(bytes >> 20) MB and is not read while the node runs",
                remedy: "for a full check stop the node and run `starling doctor` again")
        }
        guard let problem = try context.replica.integrityProblems().first else {
            return DoctorCheck("file", .ok, "\(path) is sound")
        }
        return DoctorCheck(
            "file", .fail, "the database is damaged: \(problem)",
            remedy: "stop the node, restore a copy of the file and start the node: what is missing "
                + "comes back from peers")
    }

    private static func file(_ context: NodeContext, isRunning: Bool) -> [DoctorCheck] {
        var checks: [DoctorCheck] = []
        do {
            checks.append(try integrity(context, isRunning: isRunning))
            if let problem = try context.replica.journalModeProblem() {
                checks.append(DoctorCheck("journal mode", .fail, problem))
            } else {
                checks.append(DoctorCheck("journal mode", .ok, "WAL"))
            }
        } catch {
            checks.append(DoctorCheck("file", .fail, "\(error)"))
        }
        return checks
    }

    private static func tables(_ context: NodeContext) -> [DoctorCheck] {
        let facts = (try? context.userTables()) ?? []
        let synced = facts.filter { $0.state == "synced" }
        guard !synced.isEmpty else {
            return [
                DoctorCheck(
                    "tables", .warn, "no table is synced",
                    remedy: "choose some: starling track --all")
            ]
        }
        let names = Set(synced.map { $0.name.lowercased() })
        let unknown = context.configuration.relay.priority.filter {
            !names.contains($0.lowercased())
        }
        var checks = unknown.map {
            DoctorCheck(
                "priority", .warn, "relay.priority names \($0), which is not synced",
                remedy: "track it, or take it out of the configuration")
        }
        checks += [
            DoctorCheck(
                "tables", .ok,
                "\(synced.count) synced, triggers armed: "
                    + synced.prefix(8).map(\.name).joined(separator: ", "))
        ]
        for (key, message) in context.replica.problems.filter({ $0.key != "origin" })
            .sorted(by: { $0.key < $1.key })
        {
            let check = key == "invariant" ? key : "table"
            checks.append(DoctorCheck(check, .fail, message))
        }
        for table in synced {
            for problem in (try? context.replica.trackProblems([table.name])) ?? []
            where problem.code == .triggers {
                checks.append(DoctorCheck("triggers", .warn, problem.message))
            }
        }
        return checks
    }

    private static func library() -> DoctorCheck {
        let version = Connection.libraryVersion
        guard Connection.libraryVersionNumber >= 3_024_000 else {
            return DoctorCheck(
                "SQLite", .fail, "version \(version) is too old", remedy: "update SQLite to 3.24")
        }
        return DoctorCheck("SQLite", .ok, "version \(version)")
    }

    private static func space(_ path: String) -> DoctorCheck {
        var info = statvfs()
        guard statvfs(Path.parent(of: path), &info) == 0 else {
            return DoctorCheck("disk", .warn, "the free space is not known")
        }
        let free = UInt64(info.f_bavail) * UInt64(info.f_frsize)
        return free >= freeBytesMin
            ? DoctorCheck("disk", .ok, "\(free >> 20) MB free")
            : DoctorCheck(
                "disk", .warn, "only \(free >> 20) MB free",
                remedy: "free some space: a full disk stops writing, here and in the app")
    }

    private static func clock(_ context: NodeContext) -> DoctorCheck {
        let now = WallClock.milliseconds()
        // 2025: no machine that runs this program is honestly earlier.
        guard now > 1_735_689_600_000 else {
            return DoctorCheck(
                "clock", .fail, "this machine's clock is years behind",
                remedy: "set it right: newer edits would lose against older ones")
        }
        let ahead = context.replica.clockOffenders.values.filter { $0 > now }.count
        guard ahead == 0 else {
            return DoctorCheck(
                "clock", .warn, "\(ahead) peers date their changes in the future",
                remedy: "compare the clocks; `starling status` names the machines")
        }
        return DoctorCheck("clock", .ok, "plausible")
    }

    private static func network(_ context: NodeContext, _ live: NodeService?) -> [DoctorCheck] {
        guard let live else {
            return [
                DoctorCheck(
                    "node", .warn, "the node is not running", remedy: "start it: starling run")
            ]
        }
        var checks = [
            DoctorCheck("node", .ok, "running"),
            DoctorCheck("port", .ok, "listens on \(live.listenAddress ?? "no port")"),
        ]
        if live.announcements.service == nil, live.discoveryProblem == nil {
            checks.append(
                DoctorCheck("discovery", .warn, "turned off; only named peers are dialled"))
        } else if let problem = live.discoveryProblem {
            checks.append(
                DoctorCheck("discovery", .warn, problem.message, remedy: problem.remedy))
        } else {
            checks.append(DoctorCheck("discovery", .ok, "announced by Avahi or Bonjour"))
        }
        let linked = live.engine.connectedPeers
        checks.append(
            linked > 0
                ? DoctorCheck("peers", .ok, "\(linked) connected")
                : DoctorCheck(
                    "peers", .warn, "no peer is connected",
                    remedy:
                        "let another machine in: `starling invite` here, `starling join` there; "
                        + "`starling why PEER` explains one that is known"))
        if let problem = live.strangerProblem {
            checks.append(
                DoctorCheck("members", .fail, problem.message, remedy: problem.remedy))
        }
        return checks
    }
}

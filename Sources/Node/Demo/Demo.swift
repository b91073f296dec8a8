// `starling demo`: three nodes on this machine with one small database of jobs; the cable to one is
// cut, both sides are edited, and the cable is mended.

internal import CPlatform
internal import SQLite
internal import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension NodeCommands {
    /// Tells the story line by line and returns `{"equal",…}`; ends all it started.
    package static func demo(_ say: (String) -> Void) throws -> JSONValue {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/starling-demo.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw NodeError(.failed, "cannot make a folder in \(base)")
        }
        let folder = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { _ = TemporaryTree.remove(folder) }
        return try withoutActuallyEscaping(say) { say in
            try Demo(folder: folder, say: say).run()
        }
    }
}

private struct Demo {
    let folder: String
    let say: (String) -> Void

    private static let schema = """
        CREATE TABLE jobs(
            id TEXT PRIMARY KEY NOT NULL, customer TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'open',
            note TEXT);
        INSERT INTO jobs VALUES
            ('J-1', 'Baker, Mill Lane', 'open', NULL), ('J-2', 'Harbour office', 'open', 'pump leaks'),
            ('J-3', 'School, east wing', 'open', NULL);
        """

    func run() throws -> JSONValue {
        let office = try make("office")
        say("Three nodes, each beside its own SQLite file: office, van, workshop.")
        try write(office, Self.schema)
        try trackAll(office)
        try office.start(["--listen", "127.0.0.1:0", "--no-discovery"])
        let port = try port(of: office)
        let cable = try Cable(to: port)
        defer { cable.close() }
        say("`starling invite` in the office, `starling join` in the van and in the workshop:")
        let van = try join("van", office, at: HostPort(host: "127.0.0.1", port: cable.port))
        let workshop = try join("workshop", office, at: HostPort(host: "127.0.0.1", port: port))
        // The van listens on an address of its own, so that the cable is the only way to it.
        try van.start([
            "--listen", "127.0.0.2:0", "--peer", "127.0.0.1:\(cable.port)", "--no-discovery",
        ])
        try workshop.start([
            "--listen", "127.0.0.1:0", "--peer", "127.0.0.1:\(port)", "--no-discovery",
        ])
        let nodes = [office, van, workshop]
        try meet(nodes, office: office)
        say("The office has a table of jobs. The others were empty; now each has it:")
        try show(nodes)
        return try apart(office: office, van: van, workshop: workshop, cable: cable)
    }

    private func apart(
        office: NodeProcess, van: NodeProcess, workshop: NodeProcess, cable: Cable
    ) throws -> JSONValue {
        let nodes = [office, van, workshop]
        say("")
        say("The cable to the van is cut. All go on working, in plain SQL:")
        cable.cut()
        try edit(van, "UPDATE jobs SET status='done' WHERE id='J-1'")
        try edit(van, "UPDATE jobs SET note='valve replaced' WHERE id='J-2'")
        try edit(
            van, "INSERT INTO jobs VALUES('J-4', 'Farm, north road', 'open', 'met on the way')")
        try edit(office, "UPDATE jobs SET note='customer: bring a pump' WHERE id='J-2'")
        try edit(office, "UPDATE jobs SET note='key at the desk' WHERE id='J-1'")
        try edit(workshop, "DELETE FROM jobs WHERE id='J-3'")
        _ = try office.ask("wait", ["synced": true, "timeout_ms": 5000])
        say("What each had before the cable was mended:")
        try show(nodes)
        say("")
        say("The cable is mended.")
        cable.mend()
        _ = try van.ask("sync")
        try meet(nodes, office: office)
        try show(nodes)
        let equal = try digests(nodes)
        let list = try van.ask("conflicts")["conflicts"]?.array ?? []
        try tell(list)
        try settle(list, van: van, nodes: nodes, office: office)
        let last = try digests(nodes)
        say("")
        say(
            equal && last
                ? "All three digests are equal: \(try digest(office))."
                : "The digests differ: this is a defect.")
        return [
            "equal": .bool(equal && last), "nodes": 3, "conflicts": .int(Int64(list.count)),
            "digest": .string(try digest(office)),
        ]
    }

    private func tell(_ conflicts: [JSONValue]) throws {
        say("")
        say("J-1: the van's status and the office's note both survive: different columns.")
        say("J-2: both wrote the note. One is shown, the other is kept:")
        for conflict in conflicts {
            let shown = conflict["shown"]?["value"]?.string ?? ""
            let kept = conflict["siblings"]?.array?.first?["value"]?.string ?? ""
            say("  conflict \(conflict["id"]?.string ?? ""): shown '\(shown)', kept '\(kept)'")
        }
    }

    private func settle(
        _ conflicts: [JSONValue], van: NodeProcess, nodes: [NodeProcess], office: NodeProcess
    ) throws {
        guard let id = conflicts.first?["id"]?.string else { return }
        _ = try van.ask("conflicts.restore", ["id": .string(id)])
        try meet(nodes, office: office)
        say("")
        say("`starling conflicts restore \(id)` on the van settles it everywhere:")
        try show(nodes)
    }

    // MARK: Steps

    private func make(_ name: String) throws -> NodeProcess {
        let home = Home(path: "\(folder)/\(name)")
        _ = try NodeCommands.initialize(
            InitializeOptions(home: home, database: nil, name: name, group: nil))
        return NodeProcess(home: home, name: name)
    }

    /// Lets a new node in, as two people would; it reaches the inviter at `address` only.
    private func join(_ name: String, _ inviter: NodeProcess, at address: HostPort) throws
        -> NodeProcess
    {
        let home = Home(path: "\(folder)/\(name)")
        let invitation = try inviter.ask("invite", ["name": .string(name)])["invitation"]?.string
        _ = try NodeCommands.join(
            JoinOptions(
                home: home, invitation: invitation ?? "", peers: [address], discovery: false),
            say: { say("  \($0)") })
        return NodeProcess(home: home, name: name)
    }

    /// The handler holds the home's lock, and has let it go when this returns.
    private func trackAll(_ node: NodeProcess) throws {
        let handler = try NodeCommands.offline(node.home)
        var failure: ControlError?
        handler.handle(ControlRequest(command: "track", arguments: ["tables": [], "all": true])) {
            if case .error(let error) = $0 { failure = error }
        }
        if let failure { throw failure }
    }

    private func port(of node: NodeProcess) throws -> UInt16 {
        let listen = try node.ask("status")["listen"]?.string ?? ""
        guard let port = HostPort(listen)?.port else {
            throw NodeError(.failed, "the node \(node.name) does not say where it listens")
        }
        return port
    }

    /// Waits until both others are connected to the office and all have everything.
    private func meet(_ nodes: [NodeProcess], office: NodeProcess) throws {
        let deadline = MonotonicClock.milliseconds() + 15_000
        var settled = false
        while !settled {
            let peers = try office.ask("peers")["peers"]?.array ?? []
            let isComplete = peers.count { $0["state"] == "connected" } == nodes.count - 1
            let answers = try nodes.map {
                try $0.ask("wait", ["synced": true, "timeout_ms": 2000])["synced"] == true
            }
            settled = try isComplete && answers.allSatisfy { $0 } && digests(nodes)
            guard settled || MonotonicClock.milliseconds() < deadline else {
                throw NodeError(.failed, "the three nodes did not meet within 15 seconds")
            }
            if !settled { _ = poll(nil, 0, 20) }
        }
    }

    private func digest(_ node: NodeProcess) throws -> String {
        try node.ask("digest")["digest"]?.string ?? ""
    }

    private func digests(_ nodes: [NodeProcess]) throws -> Bool {
        Set(try nodes.map { try digest($0) }).count == 1
    }

    private func write(_ node: NodeProcess, _ sql: String) throws {
        let app = try Connection(path: node.database)
        try app.execute(sql)
    }

    private func edit(_ node: NodeProcess, _ sql: String) throws {
        say("  \(node.name)> \(sql)")
        try write(node, sql)
    }

    private func show(_ nodes: [NodeProcess]) throws {
        for node in nodes {
            let app = try Connection(path: node.database, mode: .readWrite)
            let rows = try app.query("SELECT id, status, note FROM jobs ORDER BY id")
            let text = rows.map { row in
                row.map { value in
                    if case .text(let bytes) = value {
                        String(decoding: bytes, as: UTF8.self)
                    } else {
                        "–"
                    }
                }.joined(separator: " ")
            }
            let title = node.name + String(repeating: " ", count: max(0, 9 - node.name.count))
            say("  \(title) \(text.joined(separator: " | "))")
        }
    }
}

/// Removes a folder with all its content.
enum TemporaryTree {
    static func remove(_ path: String) -> Bool { starling_remove_tree(path) == 0 }
}

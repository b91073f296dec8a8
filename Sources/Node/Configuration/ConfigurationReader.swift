// From the text of `config.json5` to settings: which keys exist, what each holds, and what a person
// is told when one does not fit.

extension Configuration {
    /// Reads a JSON5 text.
    ///
    /// - Throws: `badConfiguration`; the message names `file`, the line, the key and the remedy.
    package init(json5 bytes: [UInt8], file: String) throws(NodeError) {
        let top = try ConfigurationSection(json5: bytes, file: file)
        try self.init(top)
    }

    private init(_ top: ConfigurationSection) throws(NodeError) {
        self.init()
        try top.allow([
            "name", "db", "listen", "peers", "discovery", "sync", "relay", "derived", "log",
            "limits",
        ])
        if let name = try top.text("name") {
            do { self.name = try Identity.checkedName(name) } catch {
                throw top.failure("name", error.message)
            }
        }
        if let database = try top.text("db") {
            guard !database.isEmpty, !database.contains("\0") else {
                throw top.failure("db", "\"db\" must name a file")
            }
            self.database = database
        }
        if let listen = try top.text("listen") {
            self.listen = try top.address("listen", listen)
        }
        for address in try top.texts("peers") ?? [] {
            peers.append(try top.address("peers", address))
        }
        discovery = try top.flag("discovery") ?? discovery
        if let level = try top.text("log") {
            log = try top.choice("log", level)
        }
        if let section = try top.section("sync") {
            try section.allow(["interval_seconds", "rounds_per_second"])
            sync.intervalSeconds =
                try section.number("interval_seconds", 1...86_400) ?? sync.intervalSeconds
            sync.roundsPerSecond =
                try section.number("rounds_per_second", 1...10_000) ?? sync.roundsPerSecond
        }
        if let section = try top.section("relay") { relay = try Relay(section) }
        if let section = try top.section("limits") {
            try section.allow(["connections"])
            limits.connections =
                try section.number("connections", 1...4096) ?? limits.connections
        }
        derived = try DerivedTable.read(top)
    }
}

extension Configuration.DerivedTable {
    fileprivate static func read(_ top: ConfigurationSection) throws(NodeError) -> [Self] {
        var tables: [Self] = []
        for section in try top.sections("derived") ?? [] {
            try section.allow(["name", "from", "rebuild", "after"])
            guard let name = try section.text("name"), !name.isEmpty else {
                throw section.failure(nil, "a derived table needs its \"name\"")
            }
            guard let from = try section.texts("from"), !from.isEmpty else {
                throw section.failure(
                    "from", "the derived table \"\(name)\" needs \"from\": the synced tables")
            }
            guard let rebuild = try section.text("rebuild"), !rebuild.isEmpty else {
                throw section.failure(
                    "rebuild", "the derived table \"\(name)\" needs \"rebuild\": its SQL")
            }
            guard !tables.contains(where: { $0.name == name }) else {
                throw section.failure("name", "the derived table \"\(name)\" stands here twice")
            }
            let after = try section.texts("after") ?? []
            tables.append(Self(name: name, from: from, rebuild: rebuild, after: after))
        }
        try checkOrder(tables, top)
        return tables
    }

    private static func checkOrder(
        _ tables: [Self], _ top: ConfigurationSection
    ) throws(NodeError) {
        let names = tables.map(\.name)
        for (index, table) in tables.enumerated() {
            for other in table.after where !names.contains(other) {
                let meant = Suggestion.nearest(to: other, among: names)
                throw top.failure(
                    "derived[\(index)].after",
                    "\"\(table.name)\" comes after \"\(other)\", which is no derived table"
                        + (meant.map { "; did you mean \"\($0)\"?" } ?? ""))
            }
        }
        var configuration = Configuration()
        configuration.derived = tables
        let ordered = Set(configuration.derivedInOrder.map(\.name))
        let circle = names.filter { !ordered.contains($0) }
        guard circle.isEmpty else {
            throw top.failure(
                "derived",
                "the derived tables \(circle.joined(separator: ", ")) wait for each other: take "
                    + "one out of an \"after\"")
        }
    }
}

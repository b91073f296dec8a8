// Structures that a hostile member describes: too many, of names that are not its own to give, and of the
// table that says who belongs to the group.

import CausalModel
import Codec
import SQLite
import Store
import Sync
import Testing
import Values
import Wire

@Suite struct HostileSchemaTests {
    private static func column(_ name: String, key: UInt64 = 0, _ more: [CBOR: CBOR] = [:]) -> CBOR
    {
        let pairs: [CBOR: CBOR] = [
            .text("name"): .text(name), .text("type"): .text("TEXT"),
            .text("collation"): .text("BINARY"), .text("key"): .unsigned(key),
            .text("notNull"): .bool(key > 0),
        ]
        return .map(pairs.merging(more) { $1 })
    }

    private static func table(_ name: String, _ columns: [CBOR]? = nil) -> CBOR {
        let all = columns ?? [column("id", key: 1), column("v")]
        let index: CBOR = .map([
            .text("unique"): .bool(true), .text("origin"): .text("pk"),
            .text("columns"): .array([
                .map([.text("name"): .text("id"), .text("collation"): .text("BINARY")])
            ]),
        ])
        return .map([
            .text("table"): .map([
                .text("name"): .text(name), .text("columns"): .array(all),
                .text("indexes"): .array([index]), .text("foreignKeys"): .array([]),
                .text("checks"): .array([]),
            ]),
            .text("policy"): .unsigned(0),
        ])
    }

    private func say(_ tables: [CBOR], _ mal: HostileMember) {
        mal.say(.schema(fingerprint: 77, description: .array(tables)))
    }

    private func names(_ mal: HostileMember) throws -> Set<String> {
        let rows = try mal.app.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return Set(
            rows.compactMap { row -> String? in
                guard case .text(let name) = row[0] else { return nil }
                return String(decoding: name, as: UTF8.self)
            })
    }

    @Test func namesThatAreNotItsOwnToGiveAreRefused() throws {
        let mal = try HostileMember()
        let before = try names(mal)
        mal.connect()
        let columns = try mal.app.query("SELECT * FROM pragma_table_info('_starling_meta')").count
        for name in [
            "_starling_meta", "_STARLING_evil", "_starling_row", "sqlite_schema", "SQLITE_evil", "",
            "nul\0in it", String(repeating: "n", count: 256),
        ] {
            say([Self.table(name)], mal)
        }
        // As well formed as this one, which is made.
        say([Self.table("fine")], mal)
        #expect(!mal.isClosed)
        #expect(
            try names(mal).subtracting(before).filter { !$0.hasPrefix("_starling_") } == ["fine"])
        #expect(try !names(mal).contains("_STARLING_evil"))
        #expect(
            try mal.app.query("SELECT * FROM pragma_table_info('_starling_meta')").count == columns)
        // And rows of such tables.
        #expect(try mal.victim.verify() == [])
        try mal.expectSound()
    }

    /// Reproducer: each message could bring ten thousand more, and each that was refused left its name in
    /// `status` and in memory.
    @Test func tablesWithoutEndAreRefused() throws {
        let mal = try HostileMember()
        mal.victim.bounds.tablesMax = 20
        for message in 0..<5 {
            if message == 0 || mal.isClosed { mal.connect() }
            say((0..<8).map { Self.table("made\(message)x\($0)") }, mal)
        }
        #expect(try names(mal).count { $0.hasPrefix("made") } < 20)
        #expect(mal.victim.problems.values.contains { $0.contains("too many tables") })
        // Names that are refused one by one.
        for message in 0..<30 {
            if mal.isClosed { mal.connect() }
            say((0..<20).map { Self.table("sqlite_\(message)x\($0)") }, mal)
        }
        #expect(mal.victim.problems.count <= Limits.problemsMax)
        try mal.expectSound()
        // The description of more than there may ever be is no description.
        mal.connect()
        say(Array(repeating: .null, count: Limits.tablesMax + 1), mal)
        #expect(mal.goodbye?.code == .storeFailed)
    }

    @Test func columnsWithoutEndAreRefused() throws {
        let mal = try HostileMember()
        mal.connect()
        let many = [Self.column("id", key: 1)] + (0..<2_000).map { Self.column("c\($0)") }
        say([Self.table("wide", many)], mal)
        #expect(try !names(mal).contains("wide"))
        // A table that is there is widened no further than SQLite and the journal can take.
        say([Self.table("tasks", many)], mal)
        let width = try mal.app.query("SELECT * FROM pragma_table_info('tasks')").count
        #expect(width == 3)
        #expect(mal.victim.problems["table tasks"] != nil)
        try mal.expectSound()
        let wide = Array(many.prefix(200))
        say([Self.table("tasks", wide)], mal)
        #expect(try mal.app.query("SELECT * FROM pragma_table_info('tasks')").count == 202)
        #expect(try mal.victim.verify() == [])
    }

    /// Reproducer: a member could add columns to the table of members, with constraints that keep every
    /// later row out of it.
    @Test func tablesOfTheProgramItselfKeepTheirStructure() throws {
        let mal = try HostileMember()
        try mal.app.execute("CREATE TABLE people(id TEXT PRIMARY KEY NOT NULL, name TEXT)")
        _ = try mal.victim.track(["people"], policy: .deleteWins)
        try mal.victim.finishScans()
        mal.victim.fixedTables = ["people"]
        mal.connect()
        let trap = Self.column(
            "trap", ["generated": "CASE WHEN name = 'new' THEN NULL ELSE 1 END"])
        for name in ["people", "PEOPLE"] {
            say([Self.table(name, [Self.column("id", key: 1), Self.column("name"), trap])], mal)
        }
        #expect(try mal.app.query("SELECT * FROM pragma_table_xinfo('people')").count == 2)
        try mal.app.execute("INSERT INTO people VALUES('a', 'new')")
        #expect(!mal.isClosed)
        try mal.expectSound()
    }
}

extension HostileSchemaTests {
    /// A virtual column that must not be NULL.
    private static func column(_ name: String, _ texts: [String: String]) -> CBOR {
        var more: [CBOR: CBOR] = [.text("notNull"): .bool(true)]
        for (key, text) in texts { more[.text(key)] = .text(text) }
        return column(name, more)
    }
}

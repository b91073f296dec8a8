// Chunks and structures of a hostile peer, into a real store: an error or success, and a store
// that is consistent afterwards.

import CausalModel
import Codec
import SQLite
import Store
import Values

extension FuzzTarget {
    /// A header of the input's making and a chunk: what is refused changes nothing.
    static let apply = FuzzTarget(
        name: "apply", bytesMax: 1024, words: phrases("tasks", "title", "done", "note"),
        seeds: {
            let chunk = try StoreFixture.shared().chunk
            return try (0..<8).map { [UInt8($0)] + chunk } + [[1] + sampleChunk(), [0]]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            let fixture = try StoreFixture.shared()
            let choice = input.byte()
            let body = input.all()
            try fixture.withVictim { replica, app in
                var header = fixture.header
                if choice & 1 == 1 { header.snapshot = VersionVector() }
                if choice & 2 == 2 { header.base = replica.vector }
                if choice & 8 == 8 { header.snapshot[replica.origin] = 1 << 40 }
                let chunk = DeltaChunk(
                    body: body, rows: 1, position: DeltaPosition(dot: Dot(header.source, 1)),
                    isLast: choice & 16 == 0)
                let before = try content(app)
                let vector = replica.vector
                do {
                    if choice & 4 == 4 {
                        _ = try replica.applyWhole(chunk, of: header)
                    } else {
                        _ = try replica.apply(chunk, of: header)
                        try promise(
                            replica.vector == vector || replica.origin != fixture.header.source,
                            "the vector moved before the end")
                        _ = try replica.finish(header)
                    }
                } catch let error as StoreError {
                    try promise(error.code == .invalidDelta, String(reflecting: error))
                    try promise(replica.vector == vector, "what was refused moved the vector")
                    try promise(try content(app) == before, "what was refused left a trace")
                }
            }
        })

    private static func content(_ app: Connection) throws -> [[Value]] {
        try app.query("SELECT * FROM tasks ORDER BY 1")
            + app.query("SELECT tbl, key, record FROM _starling_row ORDER BY 1, 2")
            + app.query("SELECT * FROM _starling_dot")
            + app.query("SELECT origin, seen FROM _starling_origin WHERE seen > 0")
    }

    /// A description of tables: what is made is tables and indexes, and nothing else.
    static let adopt = FuzzTarget(
        name: "adopt", bytesMax: 4096,
        words: FuzzTarget.schema.words + phrases("table", "policy", "_starling_", "sqlite_"),
        seeds: {
            let fixture = try StoreFixture.shared()
            let single = try sampleSchemas().map { schema in
                CBOR.array([.map([.text("table"): schema.cbor, .text("policy"): .unsigned(1)])])
            }
            return [fixture.description.encoded] + single.map(\.encoded)
        },
        check: { bytes in
            guard let description = try? CBOR(decoding: bytes) else { return }
            try StoreFixture.shared().withVictim { replica, app in
                let internals = try names(app, "name LIKE '\\_starling\\_%' ESCAPE '\\'")
                do { _ = try replica.adoptSchema(description) } catch let error as StoreError {
                    try promise(error.code == .invalidDelta, String(reflecting: error))
                }
                try promise(
                    try app.query("SELECT name FROM sqlite_schema WHERE type = 'view'").isEmpty,
                    "a view was made")
                let after = try names(app, "name LIKE '\\_starling\\_%' ESCAPE '\\'")
                try promise(after.isSuperset(of: internals), "a table of the node is gone")
                let rows = try app.query("SELECT count(*) FROM tasks")
                try replica.finishScans()
                try promise(try app.query("SELECT count(*) FROM tasks") == rows, "rows are gone")
            }
        })

    private static func names(_ app: Connection, _ condition: String) throws -> Set<Value> {
        Set(
            try app.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND \(condition)")
                .map { $0[0] })
    }
}

// A real replica on a real file for each input: copied from one that was made once, so that every
// input meets the same rows.

import CausalModel
import Codec
import SQLite
import Store
import TestKit
import Values

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Two nodes that share rows, and what the first would send the second.
final class StoreFixture {
    static let schema = """
        CREATE TABLE tasks(
            id TEXT PRIMARY KEY NOT NULL, title TEXT UNIQUE, done INTEGER NOT NULL DEFAULT 0, note)
        """
    static let wallClock: Int64 = 1_800_000_000_000

    private let folder = TemporaryDirectory()
    /// The file of the node under attack, closed and checkpointed.
    private var template: [UInt8] = []
    private(set) var header: DeltaHeader
    private(set) var chunk: [UInt8] = []
    private(set) var description: CBOR = .null

    /// Made anew where a target asks for one; the process's only one otherwise.
    nonisolated(unsafe) private static var kept: StoreFixture?

    static func shared() throws -> StoreFixture {
        let fixture = try kept ?? StoreFixture()
        kept = fixture
        return fixture
    }

    private init() throws {
        header = DeltaHeader(
            source: sampleOrigins[0], base: VersionVector(), snapshot: VersionVector(), rows: 0,
            bytes: 0)
        var generator = SeededGenerator(seed: 3)
        let environment = Replica.Environment(
            wallClock: { Self.wallClock }, random: { generator.next() })
        do {
            let paths = [folder.file("peer.db"), folder.file("victim.db")]
            let apps = try paths.map { try Connection(path: $0) }
            let replicas = try paths.map { try Replica(path: $0, environment: environment) }
            for (index, app) in apps.enumerated() {
                try app.execute(Self.schema)
                _ = try replicas[index].track(["tasks"])
                try replicas[index].finishScans()
                try app.execute(
                    """
                    INSERT INTO tasks VALUES
                        ('a','n\(index)',0,NULL),('m\(index)','x\(index)',1,'n'),('z','same',2,x'00')
                    """)
            }
            try Self.send(replicas[0], replicas[1])
            try Self.send(replicas[1], replicas[0])
            try apps[0].execute(
                "UPDATE tasks SET note = 'by 0' WHERE id = 'm0'; DELETE FROM tasks WHERE id = 'm1'")
            try apps[1].execute(
                "UPDATE tasks SET note = 'by 1' WHERE id = 'm0'; DELETE FROM tasks WHERE id = 'a'")
            _ = try replicas[0].fold()
            _ = try replicas[1].fold()
            if let delta = try replicas[0].openDelta(base: VersionVector(), resume: nil) {
                header = delta.header
                chunk = try delta.next()?.body ?? []
                delta.close()
            }
            description = try replicas[0].schemaDescription()
            _ = try apps[1].query("PRAGMA wal_checkpoint(TRUNCATE)")
        }
        template = try readFile(folder.file("victim.db"))
    }

    private static func send(_ sender: Replica, _ receiver: Replica) throws {
        _ = try sender.fold()
        _ = try receiver.fold()
        guard let delta = try sender.openDelta(base: VersionVector(), resume: nil) else { return }
        defer { delta.close() }
        while let chunk = try delta.next() { _ = try receiver.apply(chunk, of: delta.header) }
        _ = try receiver.finish(delta.header)
    }

    /// Gives `body` a fresh copy of the node under attack, and looks it over afterwards.
    func withVictim(_ body: (Replica, Connection) throws -> Void) throws {
        for suffix in ["", "-wal", "-shm"] { unlink(folder.file("copy.db") + suffix) }
        let path = folder.file("copy.db")
        try writeFile(path, template)
        var generator = SeededGenerator(seed: 4)
        let replica = try Replica(
            path: path,
            environment: Replica.Environment(
                wallClock: { Self.wallClock }, random: { generator.next() }))
        let app = try Connection(path: path)
        try body(replica, app)
        let found = try replica.verify()
        try promise(found.isEmpty, "the bookkeeping contradicts itself: \(found)")
        _ = try replica.conflicts()
        _ = try replica.summary()
    }
}

private func readFile(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "rb") else { throw FuzzFailure(description: "no \(path)") }
    defer { fclose(file) }
    fseek(file, 0, SEEK_END)
    var bytes = [UInt8](repeating: 0, count: ftell(file))
    rewind(file)
    let count = fread(&bytes, 1, bytes.count, file)
    try promise(count == bytes.count, "\(path) is short")
    return bytes
}

private func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    guard let file = fopen(path, "wb") else { throw FuzzFailure(description: "no \(path)") }
    defer { fclose(file) }
    try promise(fwrite(bytes, 1, bytes.count, file) == bytes.count, "\(path) cannot be written")
}

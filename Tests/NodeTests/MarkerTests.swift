// The marker outside the file: which origins it says have ended, whatever happens to the file.

import CausalModel
import Node
import SQLite
import Store
import TestKit
import Testing
import Values

@Suite struct MarkerTests {
    private let folder = TemporaryDirectory()
    private var path: String { folder.file("app.db") }

    private typealias FileBytes = [(path: String, bytes: [UInt8])]

    /// The file and its log as they are.
    private func present() -> FileBytes {
        [path, path + "-wal"].compactMap { path in Files.read(path).map { (path, $0) } }
    }

    private func putBack(_ files: FileBytes) {
        for file in files { Files.write(file.bytes, to: file.path) }
    }

    private func open() throws -> (replica: Replica, marker: Marker) {
        let clock = SeededClock()
        let replica = try Replica(
            path: path,
            environment: Replica.Environment(
                wallClock: { 1_800_000_000_000 }, random: { clock.generator.next() }))
        let marker = try Marker(
            home: Home(path: folder.path), replica: replica, random: { clock.generator.next() },
            boot: "one boot")
        return (replica, marker)
    }

    private final class SeededClock {
        var generator = SystemRandomNumberGenerator()
    }

    /// Runs a node for a moment: what a program wrote is folded and told.
    private func run(_ sql: String) throws -> (origin: Origin, endedOrigins: [Origin]) {
        let (replica, marker) = try open()
        try Connection(path: path).execute(sql)
        if try replica.tableFacts().isEmpty {
            _ = try replica.track(["t"])
            try replica.finishScans()
        }
        _ = try replica.summary()
        try marker.close(replica)
        return (replica.origin, replica.endedOrigins)
    }

    /// Nothing has the file open: what was in its log is in it.
    private func restore(_ backup: String, inPlace: Bool) throws {
        let bytes = try #require(Files.read(backup))
        if inPlace {
            Files.write(bytes, to: path)
        } else {
            try AtomicFile.replace(path, with: bytes)
        }
    }

    @Test(arguments: [true, false]) func originOfARestoredFileHasEnded(inPlace: Bool) throws {
        let first = try run(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        let backup = folder.file("backup.db")
        try Connection(path: path).run("VACUUM INTO ?1", [.string(backup)])
        _ = try run("INSERT INTO t VALUES(2, 'b')")
        try restore(backup, inPlace: inPlace)
        let second = try run("INSERT INTO t VALUES(3, 'c')")
        #expect(second.origin != first.origin)
        #expect(second.endedOrigins == [first.origin])
        // Restored again: both have ended, and the file knows of one only.
        try restore(backup, inPlace: inPlace)
        let third = try run("INSERT INTO t VALUES(4, 'd')")
        #expect(third.endedOrigins == [first.origin, second.origin])
        #expect(try run("INSERT INTO t VALUES(5, 'e')").endedOrigins == third.endedOrigins)
    }

    /// Reproducer: starling-sim --seed 3002096 --nodes 2 --steps 263. A flush failed after a fold, and
    /// the file was put back to an earlier moment of the same run: its marker had nothing against it.
    @Test func numbersThatWereGivenButNotToldAreNotGivenAgain() throws {
        _ = try run("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        var backup: FileBytes = []
        let first: Origin
        do {
            let (replica, marker) = try open()
            first = replica.origin
            _ = try replica.summary()
            backup = present()
            try Connection(path: path).execute("INSERT INTO t VALUES(2, 'b')")
            try replica.fold()
            withExtendedLifetime(marker) {}
        }
        putBack(backup)
        #expect(try run("INSERT INTO t VALUES(3, 'c')").origin != first)
    }

    /// Killed between the marker and the commit, as every kill may be: nobody was told of what is missing,
    /// and no copy is needed, which a node that meets others at a relay only could take from nobody.
    @Test(arguments: [true, false]) func whatNobodyWasToldNeedsNoCopy(isTold: Bool) throws {
        _ = try run("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        var backup: FileBytes = []
        let first: Origin
        do {
            let (replica, marker) = try open()
            first = replica.origin
            _ = try replica.summary()
            backup = present()
            try Connection(path: path).execute("INSERT INTO t VALUES(2, 'b')")
            try replica.fold()
            if isTold { _ = try replica.summary() }
            withExtendedLifetime(marker) {}
        }
        putBack(backup)
        let (replica, marker) = try open()
        #expect(replica.origin != first)
        #expect(replica.isJoining == isTold)
        #expect(replica.continuedOrigins == (isTold ? [] : [first]))
        withExtendedLifetime(marker) {}
    }

    /// Killed once more, between that step and the marker that would say so.
    @Test func aStepToANewOriginThatNoMarkerKnowsNeedsNoCopy() throws {
        _ = try run("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        let place = Home(path: folder.path).markerPath
        let first: Origin
        let known: [UInt8]
        do {
            let (replica, marker) = try open()
            first = replica.origin
            known = try #require(Files.read(place))
            try replica.continueUnderNewOrigin(because: "a test")
            withExtendedLifetime(marker) {}
        }
        Files.write(known, to: place)
        let (replica, marker) = try open()
        #expect(replica.origin != first && !replica.isJoining)
        #expect(replica.continuedOrigins == [first])
        #expect(replica.endedOrigins == [first])
        withExtendedLifetime(marker) {}
    }

    /// The file of an earlier moment of the same run, before others' changes came: what was said of them is
    /// untrue now, though no number of its own is missing.
    @Test func aFileFromBeforeOthersChangesCameNeedsACopy() throws {
        _ = try run("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        let other = try Replica(
            path: folder.file("other.db"),
            environment: Replica.Environment(wallClock: { 1_800_000_000_000 }, random: { 7 }))
        var backup: FileBytes = []
        do {
            let (replica, marker) = try open()
            _ = try replica.summary()
            backup = present()
            _ = try other.adoptSchema(try replica.schemaDescription())
            try Connection(path: other.path).execute("INSERT INTO t VALUES(9, 'other')")
            let delta = try #require(try other.openDelta(base: replica.vector, resume: nil))
            while let chunk = try delta.next() { _ = try replica.apply(chunk, of: delta.header) }
            _ = try replica.finish(delta.header)
            delta.close()
            _ = try replica.summary()
            withExtendedLifetime(marker) {}
        }
        putBack(backup)
        let (replica, marker) = try open()
        #expect(replica.isJoining)
        withExtendedLifetime(marker) {}
    }

    /// The home may have been copied with it, and the original still writes.
    @Test func originOfAMovedFileHasNotEnded() throws {
        let first = try run(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        let copy = folder.file("copy.db")
        Files.write(try #require(Files.read(path)), to: copy)
        try restore(copy, inPlace: false)
        let second = try run("INSERT INTO t VALUES(2, 'b')")
        #expect(second.origin != first.origin)
        #expect(second.endedOrigins.isEmpty)
    }

    /// Reproducer: starling-sim --seed 6004058. The file was put back, elsewhere, to a moment before the
    /// node gave up an origin: the later one has ended too.
    @Test func originTakenSinceAMovedBackupHasEnded() throws {
        let first = try run(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        let backup = folder.file("backup.db")
        try Connection(path: path).run("VACUUM INTO ?1", [.string(backup)])
        let second: Origin
        do {
            let (replica, marker) = try open()
            try replica.takeNewOrigin(because: "a peer knew more")
            _ = try replica.summary()
            second = replica.origin
            try marker.close(replica)
        }
        try restore(backup, inPlace: false)
        #expect(try run("INSERT INTO t VALUES(2, 'b')").endedOrigins == [first.origin, second])
    }

    @Test func originsGivenUpWhileTheNodeRunsAreKept() throws {
        let first = try run(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1, 'a')")
        let (replica, marker) = try open()
        #expect(replica.origin == first.origin)
        try replica.takeNewOrigin(because: "a peer knew more")
        _ = try replica.summary()
        #expect(replica.endedOrigins == [first.origin])
        try marker.close(replica)
        #expect(try run("INSERT INTO t VALUES(2, 'b')").endedOrigins == [first.origin])
    }
}

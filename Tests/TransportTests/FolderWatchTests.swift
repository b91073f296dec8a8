// Watching the folder of a database: every write to its write-ahead log is noticed at once.

import TestKit
import Testing

@testable import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

struct FolderWatchTests {
    private func write(_ bytes: [UInt8], to path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
        #expect(descriptor >= 0)
        #expect(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
        close(descriptor)
    }

    @Test("a write to a -wal file is seen, also after the file was made anew")
    func wal() throws {
        let folder = TemporaryDirectory()
        let path = folder.file("data.db-wal")
        write([1], to: path)
        try withLoop { loop in
            let round = Box(0)
            let started = Box<UInt64>(0)
            let worst = Box<UInt64>(0)
            let next = {
                if round.value % 2 == 1 { unlink(path) }
                started.value = loop.now
                self.write([2, 3], to: path)
            }
            _ = try loop.watch(folder: folder.path) { name in
                guard name == "data.db-wal", started.value > 0 else { return }
                #expect(loop.now - started.value < 5_000)
                worst.value = max(worst.value, loop.now - started.value)
                started.value = 0
                round.value += 1
                if round.value == 6 {
                    print("the slowest report of a write took \(worst.value) ms")
                    return loop.stop()
                }
                // Not before the events of this round have all arrived.
                loop.schedule(after: 5) { next() }
            }
            next()
        }
    }

    @Test("a burst is one report per name in a turn")
    func burst() throws {
        let folder = TemporaryDirectory()
        try withLoop { loop in
            let reports = Box<[String]>([])
            _ = try loop.watch(folder: folder.path) { name in
                reports.value.append(name)
                if name == "last" {
                    #expect(reports.value.count <= 12)
                    loop.stop()
                }
            }
            for _ in 0..<200 {
                self.write([1], to: folder.file("one"))
                self.write([1], to: folder.file("two"))
            }
            self.write([1], to: folder.file("last"))
        }
    }

    @Test("a cancelled watch is silent, a missing folder an error")
    func cancel() throws {
        let folder = TemporaryDirectory()
        try withLoop { loop in
            let watch = try loop.watch(folder: folder.path) { _ in Issue.record("it reported") }
            self.write([1], to: folder.file("x"))
            watch.cancel()
            watch.cancel()
            let error = #expect(throws: TransportError.self) {
                try loop.watch(folder: folder.file("missing")) { _ in }
            }
            #expect(error?.code == .notFound)
            loop.schedule(after: 20) { loop.stop() }
        }
    }
}

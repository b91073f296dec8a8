// What is measured on: the machine, the versions of everything that matters, and how long this disk
// takes to flush a file.

internal import SQLite
internal import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

enum BenchMachine {
    /// Processor, cores, kernel.
    static var description: String {
        let cpu = firstLine(of: "/proc/cpuinfo", starting: "model name") ?? "unknown processor"
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        return "\(cpu), \(cores) cores, \(kernel)"
    }

    private static var kernel: String {
        guard let bytes = try? AtomicFile.read("/proc/sys/kernel/osrelease", bytesMax: 256) else {
            return "unknown kernel"
        }
        return "Linux \(String(decoding: bytes.filter { $0 != 0x0a }, as: UTF8.self))"
    }

    private static func firstLine(of path: String, starting name: String) -> String? {
        guard let bytes = try? AtomicFile.read(path, bytesMax: 1 << 16) else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix(name) }
        guard let line, let colon = line.firstIndex(of: ":") else { return nil }
        return String(line[line.index(after: colon)...].drop { $0 == " " })
    }

    static var ownPid: Int32 { getpid() }

    static var versions: JSONValue {
        [
            "starling": .string(NodeCommands.programVersion),
            "sqlite": .string(Connection.libraryVersion),
            "libuv": .string(EventLoop.libraryVersion), "swift": .string(compiler),
            "build": .string(build),
        ]
    }

    private static var build: String {
        #if DEBUG
        "debug: figures of a debug build mean nothing"
        #else
        "release"
        #endif
    }

    private static var compiler: String {
        #if compiler(>=6.4)
        "6.4 or later"
        #elseif compiler(>=6.3)
        "6.3"
        #else
        "6.2"
        #endif
    }

    /// The milliseconds that this disk takes to make four kilobytes at the end of a file durable.
    static func fileSyncMilliseconds(in folder: String, samples: Int) throws -> [Double] {
        let path = "\(folder)/sync"
        defer { _ = unlink(path) }
        let file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC)
        let page = [UInt8](repeating: 0x5a, count: 4096)
        return try (0..<samples).map { _ in
            try file.writeAll(page)
            let number = file.number
            let start = Stopwatch.now()
            try systemCall { fsync(number) }
            return Double(Stopwatch.now() - start) / 1e6
        }
    }
}

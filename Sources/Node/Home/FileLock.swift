// Locks between processes, on files made for nothing else: one node per home folder, one node per
// database. A lock ends with its process, so what a crash leaves behind is harmless.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A whole-file lock by `flock(2)`, held until the object goes.
///
/// It belongs to the open file and not to the process: a second lock in the same process is
/// refused too, and closing another descriptor of the file does not drop it. Never used on the
/// database itself, where SQLite's own locks would be lost by a `close`.
package final class FileLock {
    /// Who holds a lock, as far as its file says.
    package struct Holder: Sendable, Equatable {
        package var pid: Int32
        /// The home folder of the holder.
        package var home: String

        package init(pid: Int32, home: String) {
            self.pid = pid
            self.home = home
        }

        init?(content: [UInt8]) {
            guard let value = try? JSONValue(parsing: content),
                let pid = value["pid"]?.int.flatMap(Int32.init(exactly:)),
                let home = value["home"]?.string
            else { return nil }
            self.init(pid: pid, home: home)
        }

        fileprivate var content: [UInt8] {
            let value: JSONValue = ["pid": .int(Int64(pid)), "home": .string(home)]
            return value.encoded + [0x0a]
        }
    }

    private static let triesMax = 10
    private static let pauseMicroseconds: useconds_t = 10_000

    package let path: String
    private let file: FileDescriptor

    /// Takes the lock, or returns nil and reports the holder when another has it.
    ///
    /// - Throws: `SystemError` when the file cannot be made or locked at all.
    package init?(path: String, holder: Holder, other: (Holder?) -> Void) throws(SystemError) {
        let file = try FileDescriptor(opening: path, O_RDWR | O_CREAT | O_NOFOLLOW)
        let number = file.number
        // A moment of patience: `holder(of:)` of another process takes the lock to look at it.
        var tries = 0
        while try !Self.take(number), tries < Self.triesMax {
            tries += 1
            _ = usleep(Self.pauseMicroseconds)
        }
        guard tries < Self.triesMax else {
            other(Holder(content: (try? file.readAll(bytesMax: 1 << 16)) ?? []))
            return nil
        }
        try systemCall { ftruncate(number, 0) }
        try file.writeAll(holder.content)
        self.path = path
        self.file = file
    }

    /// Whether some process holds the lock at `path` now, and who.
    package static func holder(of path: String) -> (isHeld: Bool, holder: Holder?) {
        guard let file = try? FileDescriptor(opening: path, O_RDONLY | O_NOFOLLOW),
            (try? take(file.number)) == false
        else { return (false, nil) }
        return (true, Holder(content: (try? file.readAll(bytesMax: 1 << 16)) ?? []))
    }

    private static func take(_ number: Int32) throws(SystemError) -> Bool {
        do throws(SystemError) { try systemCall { flock(number, LOCK_EX | LOCK_NB) } } catch {
            guard error.number == EWOULDBLOCK else { throw error }
            return false
        }
        return true
    }
}

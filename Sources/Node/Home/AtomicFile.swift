// Small files that are either the old or the new content, whatever happens meanwhile: written
// beside their place, synced, renamed, and the folder synced after it.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

package enum AtomicFile {
    /// Replaces `path` with `content`, readable by its owner only. Two file syncs.
    package static func replace(_ path: String, with content: [UInt8]) throws(SystemError) {
        let temporary = try write(content, beside: path)
        do throws(SystemError) { try systemCall { rename(temporary, path) } } catch {
            _ = unlink(temporary)
            throw error
        }
        try syncFolder(of: path)
    }

    /// Makes `path` with `content`; fails with EEXIST when it is there, also when another
    /// process makes it at the same moment.
    package static func create(_ path: String, with content: [UInt8]) throws(SystemError) {
        let temporary = try write(content, beside: path)
        defer { _ = unlink(temporary) }
        try systemCall { link(temporary, path) }
        try syncFolder(of: path)
    }

    /// The content of a small file.
    package static func read(_ path: String, bytesMax: Int) throws(SystemError) -> [UInt8] {
        let file = try FileDescriptor(opening: path, O_RDONLY)
        return try file.readAll(bytesMax: bytesMax)
    }

    private static func write(_ content: [UInt8], beside path: String) throws(SystemError) -> String
    {
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
        let file = try FileDescriptor(opening: temporary, O_WRONLY | O_CREAT | O_EXCL)
        do {
            try file.writeAll(content)
            let number = file.number
            try systemCall { fsync(number) }
        } catch {
            _ = unlink(temporary)
            throw error
        }
        return temporary
    }

    private static func syncFolder(of path: String) throws(SystemError) {
        let folder = try FileDescriptor(opening: Path.parent(of: path), O_RDONLY | O_DIRECTORY)
        let number = folder.number
        try systemCall { fsync(number) }
    }
}

// File names as text: the few things that are needed without Foundation.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

package enum Path {
    /// `path` below `folder`, or `path` itself when it is absolute; without `.`, doubled slashes
    /// and slashes at the end. `..` stays, because a link may stand before it.
    package static func absolute(_ path: String, in folder: String) -> String {
        let whole = path.hasPrefix("/") ? path : "\(folder)/\(path)"
        let parts = whole.split(separator: "/").filter { $0 != "." }
        return "/" + parts.joined(separator: "/")
    }

    /// The folder that holds `path`.
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The last part of `path`.
    package static func name(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    /// `path` with every link followed. The last part need not exist; nil when its folder does
    /// not.
    package static func resolved(_ path: String) -> String? {
        if let whole = real(path) { return whole }
        guard let folder = real(parent(of: path)) else { return nil }
        return absolute(name(of: path), in: folder)
    }

    private static func real(_ path: String) -> String? {
        guard let buffer = realpath(path, nil) else { return nil }
        defer { free(buffer) }
        return String(cString: buffer)
    }

    package static func currentFolder() -> String {
        guard let buffer = getcwd(nil, 0) else { return "/" }
        defer { free(buffer) }
        return String(cString: buffer)
    }

    /// Whether there was such a file, and it is gone.
    static func remove(_ path: String) -> Bool { unlink(path) == 0 }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Makes `path` and what is missing above it, for its owner only.
    package static func makeFolder(_ path: String) throws(SystemError) {
        guard mkdir(path, 0o700) != 0 else { return }
        let number = starling_errno()
        switch number {
        case EEXIST:
            var info = stat()
            guard stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
                throw SystemError(number: ENOTDIR)
            }
        case ENOENT where path != "/":
            try makeFolder(parent(of: path))
            try makeFolder(path)
        default: throw SystemError(number: number)
        }
    }
}

extension Path {
    /// The size of a file in bytes; 0 when there is none.
    package static func size(of path: String) -> Int64 {
        var info = stat()
        return stat(path, &info) == 0 ? Int64(info.st_size) : 0
    }
}

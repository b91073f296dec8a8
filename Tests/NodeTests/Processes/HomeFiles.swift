// The files of a stopped node, kept in memory, so that one start can be made many times.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A home folder with the database in it, as it was.
struct HomeFiles {
    private let folder: String
    private let content: [String: [UInt8]]

    init(of folder: String) {
        self.folder = folder
        var content: [String: [UInt8]] = [:]
        for name in Self.names(in: folder) { content[name] = Files.read("\(folder)/\(name)") }
        self.content = content
    }

    /// Writes in place: a copy would be another file to the node, and it would go on under a new
    /// origin.
    func restore() {
        for name in Self.names(in: folder) where content[name] == nil {
            _ = unlink("\(folder)/\(name)")
        }
        for (name, bytes) in content { Files.write(bytes, to: "\(folder)/\(name)") }
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

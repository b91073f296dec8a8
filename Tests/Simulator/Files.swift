// Files of the simulated machines, moved from outside as a person or a backup program does.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

func makeFolder(_ path: String) {
    precondition(mkdir(path, 0o755) == 0, "cannot make \(path)")
}

func enterFolder(_ path: String) {
    precondition(chdir(path) == 0, "cannot enter \(path)")
}

func removeFile(_ path: String) { _ = unlink(path) }

/// The whole content; nil when there is no such file.
func readFile(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { _ = close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count <= 0 { return bytes }
        bytes += buffer[..<count]
    }
}

/// Writes into the file of this name, or makes it.
func writeFile(_ path: String, _ bytes: [UInt8]) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    precondition(descriptor >= 0, "cannot write \(path)")
    defer { _ = close(descriptor) }
    var done = 0
    while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        precondition(count > 0, "cannot write \(path)")
        done += count
    }
}

func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

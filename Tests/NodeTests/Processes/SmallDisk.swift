// A disk of some megabytes, mounted where only one test sees it.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A tmpfs in a private mount namespace, as long as the value lives.
final class SmallDisk {
    private let holder: ChildProcess
    private let path: String
    private let flock: Flock

    /// Whether this host can mount one; when not, says so on stderr, once.
    static let isAvailable: Bool = {
        #if os(Linux)
        let code = system("unshare --mount mount -t tmpfs tmpfs /mnt >/dev/null 2>&1")
        #else
        let code: Int32 = 1
        #endif
        if code != 0 {
            fputs(
                "SKIPPED: tests of full and read-only disks need private mount namespaces "
                    + "(unshare --mount as root), and this host has none.\n", starling_stderr())
        }
        return code == 0
    }()

    init(_ path: String, megabytes: Int, in flock: Flock) async throws {
        self.path = path
        self.flock = flock
        holder = try flock.spawn(
            [
                "unshare", "--mount", "--propagation", "private", "sh", "-c",
                "mkdir -p '\(path)' && mount -t tmpfs -o size=\(megabytes)m tmpfs '\(path)' "
                    + "&& echo ready && exec cat",
            ], name: "disk")
        try await holder.line(with: "ready")
    }

    /// What to put before a program that shall see the disk.
    var prefix: [String] { ["nsenter", "--mount", "--target", "\(holder.pid)"] }

    func remount(_ options: String) async throws {
        let answer = try await flock.run(
            prefix + ["mount", "-o", "remount,\(options)", path])
        guard answer.code == 0 else { throw ProcessError(description: "\(answer)") }
    }
}

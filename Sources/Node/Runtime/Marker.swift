// The proof that the database is the one this node left: a small file outside it. When the proof
// fails, the replica goes on under a new origin, which costs one entry in a vector and no data.

internal import CPlatform
internal import CausalModel
package import Store

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Keeps `marker` in the home folder.
///
/// It holds the nonce that the file holds too, the highest own number that was ever given, and the highest
/// that was told with the sum of all that was (when only untold numbers are missing, nothing is lost by going
/// on), the file's device, inode and birth, and the boot it was written in. It is written before a number
/// is committed and before anything leaves; within one boot the page cache keeps it over a kill,
/// so that only the first write of a run is flushed.
package final class Marker {
    private let path: String
    private let database: String
    private var content: MarkerContent

    /// Compares the marker with the replica's file, before the first fold; takes a new origin when
    /// the file may be a copy or an older state.
    ///
    /// - Parameters:
    ///   - boot: what differs after every start of the machine; nil for the kernel's word.
    ///   - rejoins: an older or copied file takes a copy from the group before it goes on.
    /// - Throws: `NodeError` when the marker cannot be written, ``StoreError``.
    package init(
        home: Home, replica: Replica, random: () -> UInt64, boot: String? = nil,
        rejoins: Bool = true
    ) throws {
        path = home.markerPath
        database = replica.path
        let (old, trouble) = Marker.read(path)
        let identity = try Marker.identity(of: replica.path)
        let boot = boot ?? Marker.bootID()
        let doubt = try Marker.doubt(old, identity: identity, boot: boot, replica: replica)
        if let doubt {
            let reason = trouble ?? doubt
            if rejoins, doubt == Marker.unflushed || doubt == Marker.untold, !replica.isJoining {
                // Nothing that anybody was told is gone: what leaves is on disk before.
                try replica.continueUnderNewOrigin(because: reason)
            } else if rejoins {
                try replica.beginJoining(because: reason)
            } else {
                try replica.takeNewOrigin(because: reason)
            }
        }
        content = MarkerContent(
            nonce: Int64(bitPattern: random() >> 1), origin: replica.origin,
            exported: replica.vector[replica.origin], told: replica.vector[replica.origin],
            toldTotal: Marker.total(replica),
            provisional: replica.provisionalDot,
            device: identity.device,
            inode: identity.inode, born: identity.born, boot: boot, isClean: false,
            ended: old?.ended ?? [])
        // A copied home may have an original that still writes under this origin.
        if let old, old.origin != replica.origin, doubt != Marker.moved { content.end(old.origin) }
        replica.endedOrigins = content.ended
        // The marker first: should the machine stop in between, the nonces differ.
        try write(isDurable: true)
        try replica.setNonce(content.nonce)
        replica.willNumber = { [unowned self, unowned replica] in
            try note($0, $1, told: nil)
            replica.endedOrigins = content.ended
        }
        replica.willExport = { [unowned self, unowned replica] in
            try note($0, $1, told: Marker.total(replica))
            replica.endedOrigins = content.ended
        }
        replica.willNumberProvisionally = { [unowned self] in try self.noteProvisional($0) }
    }

    private static let unflushed = "the machine stopped before the last changes were surely on disk"
    private static let untold = "the node stopped before its last changes were in the file"
    private static let older = "the file is older than what was numbered in it"
    private static let moved = "the file was copied or moved"

    /// Why the file may not be the one that was left; nil when it is.
    private static func doubt(
        _ old: MarkerContent?, identity: starling_file_identity, boot: String, replica: Replica
    ) throws -> String? {
        guard let nonce = try replica.nonce else {
            // A file that no node has run on has told nobody anything, unless it is a copy.
            return replica.vector.isEmpty ? nil : "the file is a copy or a backup"
        }
        guard let old else { return "the file came from another home folder" }
        if isBroken(.restoreUnnoticed) { return nil }
        if old.nonce != nonce { return "the file is an older copy, or another one" }
        // Before the place is looked at: of a file that is older and in another place nobody else
        // writes on.
        // Ended between the step to a new origin and the marker that says so.
        let isContinued =
            replica.continuedOrigins.first == old.origin && replica.vector[replica.origin] == 0
        if old.origin != replica.origin, !isContinued {
            return "the file is from before this node's last new origin, or another node's"
        }
        if replica.vector[old.origin] < old.told || Marker.total(replica) < old.toldTotal {
            return older
        }
        if let given = old.provisional, let found = replica.provisionalDot,
            given.origin == found.origin, found.number < given.number
        {
            return older
        }
        if old.device != identity.device || old.inode != identity.inode
            || old.born != identity.born
        {
            return moved
        }
        if old.boot != boot, !old.isClean, !isBroken(.sentBeforeDurable) {
            return unflushed
        }
        // Killed between the marker and the commit: nobody was told of what is missing.
        return replica.vector[old.origin] < old.exported && !isContinued ? untold : nil
    }

    private func noteProvisional(_ dot: Dot) throws {
        guard content.provisional != dot else { return }
        content.provisional = dot
        try write(isDurable: false)
    }

    /// - Parameter told: the ``total(_:)`` that may now be told; nil when nothing is.
    private func note(_ origin: Origin, _ number: UInt64, told: UInt64?) throws {
        let isNewOrigin = content.origin != origin
        var next = content
        if isNewOrigin {
            next.end(content.origin)
            next.origin = origin
            next.told = 0
            next.toldTotal = 0
        }
        next.exported = number
        if let told {
            next.told = number
            next.toldTotal = told
        }
        guard next != content else { return }
        // Noted is what is in the file: after a failure it is tried again.
        let before = content
        content = next
        do { try write(isDurable: isNewOrigin) } catch {
            content = before
            throw error
        }
    }

    /// All that the replica has, as one number that never falls while its origin stays: an older file has
    /// less. Nothing is told while it waits for a copy.
    private static func total(_ replica: Replica) -> UInt64 {
        replica.isJoining ? 0 : replica.vector.entries.reduce(0) { $0 &+ $1.number }
    }

    /// The file's place was taken by another file while the node runs.
    package func isFileReplaced() -> Bool {
        guard let now = try? Marker.identity(of: database) else { return true }
        return now.device != content.device || now.inode != content.inode
            || now.born != content.born
    }

    /// Writes both the file and the marker as they are, to see that both can be written.
    func prove(_ replica: Replica) throws {
        try replica.setNonce(content.nonce)
        try write(isDurable: false)
    }

    /// Notes a clean stop; everything has been made durable before.
    package func close(_ replica: Replica) throws {
        try replica.makeDurable()
        content.isClean = true
        try write(isDurable: true)
    }

    // MARK: The file

    private static func identity(of path: String) throws -> starling_file_identity {
        var identity = starling_file_identity()
        let code = starling_identify_file(path, &identity)
        guard code == 0 else {
            throw NodeError(
                .badHome, "cannot look at the database \(path): \(String(cString: strerror(code)))")
        }
        return identity
    }

    private static func bootID() -> String {
        guard let bytes = try? AtomicFile.read("/proc/sys/kernel/random/boot_id", bytesMax: 64)
        else { return "unknown" }
        return String(decoding: bytes.filter { $0 != 0x0a }, as: UTF8.self)
    }

    private func write(isDurable: Bool) throws {
        do {
            if isDurable {
                try AtomicFile.replace(path, with: content.content + [0x0a])
            } else {
                try overwrite(content.content)
            }
        } catch {
            throw NodeError(.badHome, "cannot write \(path): \(error)", cause: error)
        }
    }

    /// Replaces the content in place without a flush; padded, so that one write does it.
    private func overwrite(_ bytes: [UInt8]) throws {
        var line = bytes
        while line.count < 1023 { line.append(0x20) }
        line.append(0x0a)
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError(number: starling_errno()) }
        defer { _ = Marker.closeDescriptor(descriptor) }
        guard pwrite(descriptor, line, line.count, 0) == line.count else {
            throw SystemError(number: starling_errno())
        }
    }

    private static func closeDescriptor(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.close(descriptor)
        #elseif canImport(Musl)
        Musl.close(descriptor)
        #else
        Darwin.close(descriptor)
        #endif
    }

    /// What the file says, and what kept it from being read, other than that there is none.
    private static func read(_ path: String) -> (content: MarkerContent?, trouble: String?) {
        do {
            return (MarkerContent(content: try AtomicFile.read(path, bytesMax: 4096)), nil)
        } catch {
            return (nil, error.number == ENOENT ? nil : error.explain("cannot read \(path)"))
        }
    }
}

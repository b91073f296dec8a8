// The file that holds a node's secret key: who can read it can be the node.

internal import Trust

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension Home {
    package var keyPath: String { "\(path)/key" }

    private static let keyMagic = "starling key 1"
    private static let keyBytesMax = 1024

    /// The key of this folder; made when there is none.
    ///
    /// - Throws: `badHome`, as ``key()`` does, or when the folder cannot be written.
    func makeKey() throws(NodeError) -> NodeKey {
        guard !Path.exists(keyPath) else { return try key() }
        do {
            let key = try NodeKey()
            let text = "\(Self.keyMagic)\n\(Hexadecimal.text(try key.secret()))\n"
            try AtomicFile.create(keyPath, with: Array(text.utf8))
            return key
        } catch let error as SystemError {
            throw NodeError(.badHome, error.explain("cannot write \(keyPath)"), cause: error)
        } catch {
            throw NodeError(.failed, "cannot make a key: \(error)", cause: error)
        }
    }

    /// The node's secret key.
    ///
    /// - Throws: `badHome` when it is missing, damaged, or can be read by others.
    func key() throws(NodeError) -> NodeKey {
        let (content, mode, owner): ([UInt8], mode_t, uid_t)
        do { (content, mode, owner) = try readKey() } catch {
            guard error.number != ENOENT else {
                throw NodeError(
                    .badHome,
                    "\(keyPath) is missing, and without its key the node is nobody: restore it "
                        + "from a copy, or make a new home folder and let it join again")
            }
            throw NodeError(.badHome, error.explain("cannot read \(keyPath)"), cause: error)
        }
        guard owner == geteuid() else {
            throw NodeError(
                .badHome,
                "\(keyPath) belongs to another user: run starling as the user whose node it is")
        }
        guard mode & 0o077 == 0 else {
            throw NodeError(
                .badHome,
                "\(keyPath) is the node's secret key, and other users can read it: make it this "
                    + "user's alone (chmod 600). If somebody may have read it, let another member "
                    + "remove this node, and join again with a new home folder")
        }
        let lines = content.split(separator: 0x0a)
        guard lines.count == 2, lines[0].elementsEqual(Self.keyMagic.utf8),
            let secret = Hexadecimal.bytes(String(decoding: lines[1], as: UTF8.self)),
            let key = try? NodeKey(secret: secret)
        else {
            throw NodeError(
                .badHome,
                "\(keyPath) is damaged: restore it from a copy, or make a new home folder and let "
                    + "it join again")
        }
        return key
    }

    private func readKey() throws(SystemError) -> (content: [UInt8], mode: mode_t, owner: uid_t) {
        let file = try FileDescriptor(opening: keyPath, O_RDONLY)
        let number = file.number
        var info = stat()
        try systemCall { fstat(number, &info) }
        return (try file.readAll(bytesMax: Self.keyBytesMax), info.st_mode, info.st_uid)
    }
}

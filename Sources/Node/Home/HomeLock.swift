// The two locks of a running node, refused in words: one on its home folder, one beside its
// database.

extension Home {
    /// Takes the lock that a node holds while it runs, or that a command holds while it writes.
    ///
    /// - Throws: `refused` with the process that has it; `badHome` when it cannot be made.
    package func lock(pid: Int32) throws(NodeError) -> FileLock {
        try take(lockPath, pid: pid) { holder in
            let who = holder.map { "process \($0.pid)" } ?? "another process"
            return "a node runs on \(path) already (\(who)): stop it first, or give this one a "
                + "folder of its own with --home DIR"
        }
    }

    /// Takes the lock beside the database, so that no node of another home folder works on the
    /// same file. `database` is what `databasePath` returned.
    ///
    /// - Throws: `refused` with the node that has it; `badHome` when it cannot be made.
    package func lockDatabase(_ database: String, pid: Int32) throws(NodeError) -> FileLock {
        try take(Self.databaseLockPath(database), pid: pid) { holder in
            let who = holder.map { "process \($0.pid), home \($0.home)" } ?? "another process"
            return "another node works on \(database) already (\(who)): one file belongs to one "
                + "node; stop that one, or give this one a copy made by `starling backup`"
        }
    }

    /// Beside the database, and never the database itself: closing any descriptor of that file
    /// would drop SQLite's locks in this process.
    package static func databaseLockPath(_ database: String) -> String {
        "\(database)-starling-lock"
    }

    /// Whether a node runs on this folder now, and its process.
    package func runningNode() -> (isRunning: Bool, pid: Int32?) {
        let state = FileLock.holder(of: lockPath)
        return (state.isHeld, state.holder?.pid)
    }

    private func take(
        _ lockPath: String, pid: Int32, refusal: (FileLock.Holder?) -> String
    ) throws(NodeError) -> FileLock {
        var message = ""
        do {
            let lock = try FileLock(
                path: lockPath, holder: FileLock.Holder(pid: pid, home: path)
            ) { message = refusal($0) }
            if let lock { return lock }
        } catch {
            throw NodeError(
                .badHome, error.explain("cannot make the lock \(lockPath)"), cause: error)
        }
        throw NodeError(.refused, message)
    }
}

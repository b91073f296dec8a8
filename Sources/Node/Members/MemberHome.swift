// What the home folder remembers of membership, whatever becomes of the database.

extension Home {
    /// Notes that the node belongs to a group now.
    func noteMembership() throws {
        var identity = try identity()
        guard !identity.isMember else { return }
        identity.isMember = true
        do { try AtomicFile.replace(identityPath, with: identity.content) } catch {
            throw NodeError(.badHome, error.explain("cannot write \(identityPath)"), cause: error)
        }
    }
}

// What a running node does when the members changed.

internal import Store
internal import Sync
internal import Trust

extension NodeService {
    /// Of whose origins nothing more will be taken.
    func noteRemovedOrigins() {
        let known = context.members.membership.roles
        context.replica.removedOrigins = context.replica.knownAuthors
            .filter { $0.value != context.identity.node && known[$0.value] != .writer }
            .map(\.key).sorted()
    }

    /// Who came is looked for and waited for; who went is forgotten.
    func membersChanged() {
        guard !isStopping else { return }
        do {
            let known = context.members.byNode
            for peer in try context.replica.peerStatements()
            where known[peer.node] == nil && context.members.introducer?.key.node != peer.node {
                try context.replica.forgetPeer(peer.node)
            }
            let stated = try context.replica.peerStatements()
            for member in context.members.others
            where !stated.contains(where: { $0.node == member.node && $0.name == member.name }) {
                try context.replica.expectPeer(member.node, name: member.name)
            }
        } catch { storeFailed(error) }
        noteRemovedOrigins()
        recogniseAgain()
        engine.updateBook(now) { _ in }
        pump()
    }
}

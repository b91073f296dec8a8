// What a running node does when the members changed.

internal import Store
internal import Sync
internal import Trust

extension NodeService {
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
        recogniseAgain()
        engine.updateBook(now) { _ in }
        pump()
    }
}

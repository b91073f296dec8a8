// What a running node does when the members changed.

internal import Store
internal import Sync
internal import Transport
internal import Trust

extension NodeService {
    /// Who belongs to the group, and who takes part in it, is what the table says.
    func watchMembers() {
        engine.membership = { [unowned self] in
            do { try context.members.look() } catch { storeFailed(error) }
            return context.members.membership
        }
        engine.noteJoined = { [unowned self] node, origin, isAlone in
            try context.members.noteJoined(node, origin, isAlone: isAlone)
        }
        engine.collectsDeletedRows = true
        context.members.onChange = { [unowned self] in
            loop.soon { [unowned self] in membersChanged() }
        }
    }

    func noteStanding(_ event: SyncEvent) {
        switch event {
        case .joining(let reason): log.warning("takes a copy of the group's data: \(reason)")
        case .joined(let node):
            let isOwn = node == context.identity.node
            log.info(isOwn ? "this node takes part" : "\(node.prefix(8)) takes part")
        default: break
        }
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
        relay.membersChanged()
        recogniseAgain()
        engine.updateBook(now) { _ in }
        pump()
    }
}

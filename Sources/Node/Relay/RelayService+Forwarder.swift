// What the forwarder asks of the node, and tells it.

internal import RelayClient
internal import Store
internal import Sync

extension RelayService {
    func prepare(_ forwarder: Forwarder, _ secret: GroupSecret) {
        forwarder.urgentTables = settings.priority
        forwarder.mayWrite = { [unowned self] node in
            node == context.identity.node
                ? context.members.ownRole == .writer
                : context.members.membership.roles[node] == .writer
        }
        forwarder.standing = { [unowned self] author, start in
            service.engine.standing(ofAuthor: author, start)
        }
        forwarder.isPresent = { [unowned self] author, origin in
            service.engine.isPresent(author, origin)
        }
        forwarder.claim = { [unowned self] in service.engine.ownClaim }
        forwarder.letIn = { [unowned self] node, origin in
            hasApplied = true
            return service.engine.letIn(node, origin, now: now)
        }
        forwarder.isServedNearby = { [unowned self] in service.engine.isCopyNear }
        forwarder.copyWanted = { [unowned self] in service.engine.copyWanted(now: now) }
        forwarder.onEvent = { [unowned self] event in
            if case .applied(_, let rows, let hasChanged) = event, rows > 0 || hasChanged {
                hasApplied = true
            }
            if case .newOrigin = event { hasApplied = true }
            service.note(event)
        }
        forwarder.onGrants = { [unowned self] grants, author in
            do {
                if author == context.identity.node { return try keys.noteAnnounced(grants) }
                if try keys.take(grants, secret) { hasNewKeys = true }
            } catch { service.storeFailed(error) }
        }
        forwarder.onLogLost = { [unowned self] in
            do { try keys.forgetAnnounced() } catch { service.storeFailed(error) }
        }
        forwarder.grants = { [unowned self] in keys.table.grants.map(\.bytes) }
        forwarder.reports = { [unowned self] in
            do { return try service.engine.reportsOfLinked(now) } catch {
                service.storeFailed(error)
                return []
            }
        }
        forwarder.onReports = { [unowned self] reports in
            do { try service.engine.take(reports, now) } catch { service.storeFailed(error) }
        }
    }
}

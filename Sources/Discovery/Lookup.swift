// One lookup with its references: a resolve for host and port, then one query per address family.

/// The open references of a lookup and what they found so far. Confined to the discovery thread.
final class Lookup {
    let target: LookupTarget
    private(set) var progress: LookupProgress
    /// A call was refused: nothing more will come.
    private(set) var isBroken = false
    private let type: String
    private var resolver: ServiceReference?
    private var queries: [ServiceReference] = []

    /// Opens the resolve; when that is refused, the lookup is broken from the start.
    init(type: String, _ target: LookupTarget, _ kind: LookupKind, now: Int64) {
        self.type = type
        self.target = target
        progress = LookupProgress(kind: kind, now: now)
        resolver = try? ServiceReference.resolve(type: type, target)
        isBroken = resolver == nil
    }

    var references: [ServiceReference] { (resolver.map { [$0] } ?? []) + queries }

    func owns(_ reference: ServiceReference) -> Bool { references.contains { $0 === reference } }

    func takeAnswer(now: Int64) -> LookupAnswer? { progress.takeAnswer(now: now) }

    func process(_ reference: ServiceReference) {
        for reply in reference.process() {
            switch reply {
            case .resolved(let location): located(location)
            case .address(let address, let added):
                progress.address(address, added: added, now: monotonicMs())
            case .failed: drop(reference)
            default: break
            }
        }
    }

    private func located(_ location: ServiceLocation) {
        let step = progress.located(location, now: monotonicMs())
        if !progress.listensForLocation { resolver = nil }
        guard case .query(let host, let interface) = step else { return }
        queries = HostAddress.Kind.allCases.compactMap { kind in
            try? ServiceReference.query(host: host, interface: interface, kind)
        }
        isBroken = queries.isEmpty
    }

    private func drop(_ reference: ServiceReference) {
        if resolver === reference { resolver = nil } else { queries.removeAll { $0 === reference } }
        isBroken = references.isEmpty
    }
}

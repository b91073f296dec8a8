// What is known of the instances on the network: a value that takes browse events, answers and the
// time, and returns what to do and what to tell. It does no I/O and reads no clock.

/// The instances of the service, bounded by `DiscoveryLimits.instancesMax`.
///
/// Browse events come once per interface and per protocol, and are counted. An instance stays known
/// without any sighting while the owner wants it, because announcements get lost.
struct PeerTable {
    enum Effect: Equatable {
        case tell(DiscoveryEvent)
        case lookUp(LookupTarget, LookupKind, urgent: Bool)
        case browseAgain
    }

    private struct Answer {
        var content: LookupAnswer
        var isStale = false
    }

    private struct Instance {
        /// Browse events per interface that were not taken back.
        var sightings: [UInt32: Int] = [:]
        var answers: [UInt32: Answer] = [:]
        /// The interface of the latest answer: its port and TXT are shown.
        var latest: UInt32 = 0
        var shown: DiscoveredPeer?
        var failures = 0
        var lookUpAt: Int64?
        var confirmBy: Int64?
    }

    private var ownNames: Set<String>
    private var instances: [String: Instance] = [:]
    private var unreached: Set<String> = []
    private var unreachedAt: Int64?
    private var browseAt: Int64?
    private let isWanted: ((String) -> Bool)?

    /// - Parameters:
    ///   - ownName: the instance that is this node, and never a peer.
    ///   - isWanted: whether a name looks like one that the owner waits for: it is looked up before all
    ///     others, and strangers make room for it. nil when nobody can tell.
    init(ownName: String?, isWanted: ((String) -> Bool)? = nil) {
        ownNames = ownName.map { [$0] } ?? []
        self.isWanted = isWanted
    }

    var count: Int { instances.count }

    // MARK: Events of the network

    /// An instance was announced on an interface, for one protocol.
    mutating func sighted(_ name: String, interface: UInt32) -> [Effect] {
        guard let effects = admit(name) else { return [] }
        var instance = instances[name] ?? Instance()
        instance.confirmBy = nil
        let count = instance.sightings[interface] ?? 0
        guard count > 0 || instance.sightings.count < DiscoveryLimits.interfacesPerInstanceMax
        else { return effects }
        instance.sightings[interface] = count + 1
        instances[name] = instance
        guard count == 0 else { return effects }
        let target = LookupTarget(instanceName: name, interface: interface)
        return effects + [.lookUp(target, .fresh, urgent: isUrgent(name, else: true))]
    }

    /// One announcement was taken back.
    mutating func lost(_ name: String, interface: UInt32) -> [Effect] {
        guard var instance = instances[name], let count = instance.sightings[interface]
        else { return [] }
        instance.sightings[interface] = count > 1 ? count - 1 : nil
        if count == 1 { instance.answers[interface] = nil }
        instances[name] = instance
        if instance.sightings.isEmpty { return disappear(name) }
        return count == 1 ? show(name) : []
    }

    /// A lookup is complete.
    mutating func answered(_ target: LookupTarget, _ answer: LookupAnswer) -> [Effect] {
        let name = target.instanceName
        guard var instance = instances[name] else { return [] }
        guard
            instance.answers[answer.interface] != nil
                || instance.answers.count < DiscoveryLimits.interfacesPerInstanceMax
        else { return [] }
        let wasSilent = instance.answers.values.allSatisfy(\.isStale)
        instance.answers[answer.interface] = Answer(content: answer)
        instance.latest = answer.interface
        instance.failures = 0
        instance.lookUpAt = nil
        instances[name] = instance
        return show(name, evenUnchanged: wasSilent)
    }

    /// A lookup ended without an address.
    mutating func failed(_ target: LookupTarget, now: Int64) -> [Effect] {
        guard var instance = instances[target.instanceName] else { return [] }
        for interface in instance.answers.keys
        where target.interface == 0 || target.interface == interface {
            instance.answers[interface]?.isStale = true
        }
        let isWanted = unreached.contains(target.instanceName)
        // Between a fresh browse and its end an instance that is shown has no sighting, either.
        if instance.sightings.isEmpty, !isWanted { return disappear(target.instanceName) }
        instance.failures = min(instance.failures + 1, 16)
        instance.lookUpAt =
            now
            + min(
                DiscoveryLimits.lookupRetryMsMax,
                DiscoveryLimits.lookupRetryMsMin << Int64(instance.failures - 1))
        instances[target.instanceName] = instance
        return []
    }

    // MARK: Wishes of the owner

    /// Looks an instance up once more, also one that was never seen.
    mutating func resolve(_ name: String) -> [Effect] {
        guard let effects = admit(name) else { return [] }
        if instances[name] == nil { instances[name] = Instance() }
        return effects + lookUps(of: name, urgent: true)
    }

    /// Replaces the set of instances that the owner wants and does not reach.
    mutating func setUnreached(_ names: some Sequence<String>, now: Int64) {
        unreached = Set(names.prefix(DiscoveryLimits.instancesMax).filter(InstanceName.isUsable))
        unreached.subtract(ownNames)
        unreachedAt =
            unreached.isEmpty ? nil : unreachedAt ?? now + DiscoveryLimits.unreachedLookupMs
        guard !unreached.isEmpty, let planned = browseAt else { return }
        browseAt = min(planned, now + DiscoveryLimits.browseUnreachedMs)
    }

    /// Another name under which the daemon announced this node, after a conflict.
    mutating func addOwnName(_ name: String) {
        ownNames.insert(name)
        instances[name] = nil
    }

    /// Looks up all that is known.
    func refreshAll() -> [Effect] {
        instances.keys.sorted().flatMap { lookUps(of: $0, urgent: false) }
    }

    // MARK: Browsing afresh

    /// A new browse was opened: sightings count from zero, and what is not seen again disappears.
    mutating func browseOpened(now: Int64) {
        for name in instances.keys where instances[name]?.sightings.isEmpty == false {
            instances[name]?.sightings = [:]
            instances[name]?.confirmBy = now + DiscoveryLimits.browseConfirmMs
        }
        browseAt =
            now
            + (unreached.isEmpty ? DiscoveryLimits.browseIdleMs : DiscoveryLimits.browseUnreachedMs)
    }

    // MARK: Time

    /// What has become due.
    mutating func tick(now: Int64) -> [Effect] {
        guard let nextDue, nextDue <= now else { return [] }
        var effects: [Effect] = []
        for name in instances.keys.sorted() {
            if let due = instances[name]?.confirmBy, due <= now { effects += disappear(name) }
            if let due = instances[name]?.lookUpAt, due <= now {
                instances[name]?.lookUpAt = nil
                effects += lookUps(of: name, urgent: isUrgent(name, else: false))
            }
        }
        if let due = unreachedAt, due <= now {
            unreachedAt = now + DiscoveryLimits.unreachedLookupMs
            for name in unreached.sorted() {
                guard let room = admit(name) else { continue }
                if instances[name] == nil { instances[name] = Instance() }
                effects += room + lookUps(of: name, urgent: isUrgent(name, else: false))
            }
        }
        if let due = browseAt, due <= now {
            browseAt = nil
            effects.append(.browseAgain)
        }
        return effects
    }

    /// When `tick` has something to do, or nil.
    var nextDue: Int64? {
        let own = [unreachedAt, browseAt].compactMap { $0 }.min()
        let others = instances.values.lazy.compactMap { instance -> Int64? in
            [instance.lookUpAt, instance.confirmBy].compactMap { $0 }.min()
        }.min()
        return [own, others].compactMap { $0 }.min()
    }

    // MARK: Inside

    /// Makes room for this name; nil when there is none. Strangers that never answered go first; for a name
    /// that is wanted, one that is not goes in any case.
    private mutating func admit(_ name: String) -> [Effect]? {
        guard !ownNames.contains(name), InstanceName.isUsable(name) else { return nil }
        if instances[name] != nil || instances.count < DiscoveryLimits.instancesMax { return [] }
        let isSought = isWanted?(name) ?? false
        let silent = instances.first { known in
            known.value.shown == nil && !unreached.contains(known.key)
                && (isSought || isWanted?(known.key) != true)
        }
        if let silent {
            instances[silent.key] = nil
            return []
        }
        guard isSought, let isWanted else { return nil }
        let other = instances.first { !unreached.contains($0.key) && !isWanted($0.key) }
        return other.map { disappear($0.key) }
    }

    /// Who is wanted comes before all others, for the first time and again.
    private func isUrgent(_ name: String, else usual: Bool) -> Bool {
        isWanted.map { $0(name) } ?? usual
    }

    private func lookUps(of name: String, urgent: Bool) -> [Effect] {
        guard let instance = instances[name] else { return [] }
        let known = Set(instance.sightings.keys).union(instance.answers.keys).sorted()
        return (known.isEmpty ? [0] : known).map {
            .lookUp(LookupTarget(instanceName: name, interface: $0), .again, urgent: urgent)
        }
    }

    private mutating func show(_ name: String, evenUnchanged: Bool = false) -> [Effect] {
        guard let instance = instances[name], !instance.answers.isEmpty else { return [] }
        let interfaces = instance.answers.keys.sorted()
        let latest = instance.answers[instance.latest] ?? instance.answers[interfaces[0]]
        guard let latest else { return [] }
        var addresses: [String] = []
        for address in interfaces.flatMap({ instance.answers[$0]?.content.addresses ?? [] })
        where !addresses.contains(address) {
            addresses.append(address)
        }
        let peer = DiscoveredPeer(
            instanceName: name, txt: latest.content.txt, addresses: addresses,
            port: latest.content.port, interfaces: interfaces)
        guard evenUnchanged || peer != instance.shown else { return [] }
        instances[name]?.shown = peer
        return [.tell(.appeared(peer))]
    }

    /// Takes an instance out, and tells so if it was ever shown.
    private mutating func disappear(_ name: String) -> [Effect] {
        guard let instance = instances.removeValue(forKey: name) else { return [] }
        return instance.shown == nil ? [] : [.tell(.disappeared(instanceName: name))]
    }
}

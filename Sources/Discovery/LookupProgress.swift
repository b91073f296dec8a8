// One lookup as a state machine: host, port and TXT first, then the addresses of the host. Time
// comes in as a parameter; the references that feed it belong to the engine.

/// What one lookup found.
struct LookupAnswer: Equatable, Sendable {
    var port: UInt16
    var txt: [String: String]
    /// Numeric hosts, IPv4 first.
    var addresses: [String]
    /// The interface that answered; never 0.
    var interface: UInt32
}

/// The location that a resolve found, before the addresses are known.
struct ServiceLocation: Equatable, Sendable {
    var host: String
    var port: UInt16
    var txt: [String: String]
    var interface: UInt32
}

struct LookupProgress {
    enum Step: Equatable {
        case nothing
        /// Drop the open queries and ask for the addresses of this host.
        case query(host: String, interface: UInt32)
    }

    let kind: LookupKind
    private let startedAt: Int64
    private var location: ServiceLocation?
    private var addresses: [String] = []
    private var settleAt: Int64?
    private(set) var delivered: LookupAnswer?

    init(kind: LookupKind, now: Int64) {
        self.kind = kind
        startedAt = now
    }

    /// Whether another location may still change the answer.
    var listensForLocation: Bool { location == nil || kind == .again }

    mutating func located(_ found: ServiceLocation, now: Int64) -> Step {
        guard found.port != 0, found != location else { return .nothing }
        let isSameHost = found.host == location?.host && found.interface == location?.interface
        location = found
        if isSameHost {
            if !addresses.isEmpty { settleAt = now + DiscoveryLimits.addressSettleMs }
            return .nothing
        }
        addresses = []
        settleAt = nil
        return .query(host: found.host, interface: found.interface)
    }

    mutating func address(_ address: String, added: Bool, now: Int64) {
        let index = addresses.firstIndex(of: address)
        switch (added, index) {
        case (true, nil):
            guard addresses.count < DiscoveryLimits.addressesPerInterfaceMax else { return }
            addresses.append(address)
        case (false, let index?): addresses.remove(at: index)
        default: return
        }
        settleAt = now + DiscoveryLimits.addressSettleMs
    }

    /// The answer, once it is complete; each different answer is handed out once.
    mutating func takeAnswer(now: Int64) -> LookupAnswer? {
        guard let location, !addresses.isEmpty, let settleAt else { return nil }
        guard now >= min(settleAt, startedAt + DiscoveryLimits.lookupMs) else { return nil }
        self.settleAt = nil
        let (six, four) = (addresses.filter(Self.isIPv6), addresses.filter { !Self.isIPv6($0) })
        let answer = LookupAnswer(
            port: location.port, txt: location.txt, addresses: four.sorted() + six.sorted(),
            interface: location.interface)
        guard answer != delivered else { return nil }
        delivered = answer
        return answer
    }

    func isFinished(now: Int64) -> Bool {
        if now >= startedAt + DiscoveryLimits.lookupMs { return true }
        guard delivered != nil, settleAt == nil else { return false }
        return kind == .fresh || now >= startedAt + DiscoveryLimits.lookupLingerMs
    }

    /// When to look again without an event.
    var nextDue: Int64 {
        var due = startedAt + DiscoveryLimits.lookupMs
        if let settleAt { due = min(due, settleAt) }
        if delivered != nil { due = min(due, startedAt + DiscoveryLimits.lookupLingerMs) }
        return due
    }

    private static func isIPv6(_ address: String) -> Bool { address.contains(":") }
}

// What the book keeps of one peer, and the plain values that go in and out of it.

internal import Values
internal import Wire

/// One attempt to connect: the caller tries the addresses in order, the next one a quarter of a
/// second after the one before, and keeps the first that answers (RFC 8305, lightly).
package struct Dial: Sendable, Equatable {
    package var id: DialID
    /// The node that is expected there; nil when only an address is known.
    package var node: String?
    package var addresses: [PeerAddress]
}

/// A peer as the node keeps it in a file between two runs.
package struct RememberedPeer: Sendable, Hashable {
    package var node: String
    package var name: String
    package var addresses: [PeerAddress]

    package init(node: String, name: String, addresses: [PeerAddress]) {
        self.node = node
        self.name = name
        self.addresses = addresses
    }
}

/// How an address came to be known.
package struct AddressSources: OptionSet, Hashable, Sendable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Given by a person.
    package static let fixed = AddressSources(rawValue: 1)
    /// Announced on the network now.
    package static let discovered = AddressSources(rawValue: 2)
    /// It worked once, or the peer named it.
    package static let remembered = AddressSources(rawValue: 4)
}

struct KnownAddress: Equatable {
    var address: PeerAddress
    var sources: AddressSources
    var lastSuccessAt: Milliseconds?
}

/// One peer.
struct PeerRecord {
    enum Contact: Equatable {
        case none
        case dialing(DialID)
        case connected
    }

    let id: PeerBook.RecordID
    var node: String?
    var name = ""
    var addresses: [KnownAddress] = []
    var contact = Contact.none
    /// Why the last connection ended, where a person can do something about it and back-off goes on.
    var hint: GoodbyeMessage.Code?
    /// When an announcement last made this peer worth a new try.
    var newsAt: Milliseconds?
    var isSelf = false
    var retries = 0
    var nextTryAt: Milliseconds = .min
    var refusal: GoodbyeMessage.Code?
    var lastError: String?
    var lastSeenAt: Milliseconds?
    var isActive = false

    var sources: AddressSources { addresses.reduce(into: []) { $0.formUnion($1.sources) } }

    /// Adds an address, or a source to a known one; true when it is new.
    mutating func add(_ address: PeerAddress, _ sources: AddressSources) -> Bool {
        if let index = addresses.firstIndex(where: { $0.address == address }) {
            let isNew = !addresses[index].sources.contains(sources)
            addresses[index].sources.formUnion(sources)
            return isNew
        }
        if addresses.count >= SyncLimits.addressesMax {
            // The oldest hint makes room; what a person gave stays, and what worked as long as it can:
            // hints are what anybody can say.
            let others = addresses.indices.filter { !addresses[$0].sources.contains(.fixed) }
            let hint = others.first { addresses[$0].lastSuccessAt == nil }
            guard let index = hint ?? others.first else { return false }
            addresses.remove(at: index)
        }
        addresses.append(KnownAddress(address: address, sources: sources))
        return true
    }

    /// What worked last first, then what is announced now; the families alternate.
    var dialOrder: [PeerAddress] {
        func rank(_ known: KnownAddress) -> (Milliseconds, Int) {
            let source =
                known.sources.contains(.discovered) ? 2 : known.sources.contains(.fixed) ? 1 : 0
            return (known.lastSuccessAt ?? .min, source)
        }
        let ranked = addresses.enumerated().sorted { left, right in
            let (first, second) = (rank(left.element), rank(right.element))
            if first.0 != second.0 { return first.0 > second.0 }
            return first.1 != second.1 ? first.1 > second.1 : left.offset < right.offset
        }.map(\.element.address)
        guard let first = ranked.first else { return [] }
        var same = ranked.filter { $0.isIPv6 == first.isIPv6 }[...]
        var other = ranked.filter { $0.isIPv6 != first.isIPv6 }[...]
        var order: [PeerAddress] = []
        while !same.isEmpty || !other.isEmpty {
            if let address = same.popFirst() { order.append(address) }
            if let address = other.popFirst() { order.append(address) }
        }
        return order
    }

    mutating func resetBackoff() {
        retries = 0
        nextTryAt = .min
    }

    private static let backoff = Backoff(
        firstMilliseconds: SyncLimits.backoffFirstMilliseconds,
        maxMilliseconds: SyncLimits.backoffMaxMilliseconds)

    /// The next attempt waits twice as long as the one before.
    mutating func backOff(_ now: Milliseconds, jitter: Milliseconds) {
        let delay = Self.backoff.milliseconds(doublings: retries)
        retries += 1
        nextTryAt = now + delay + jitter
    }
}

// Which lookups wait and which are open. Every open one costs a thread and a connection to the bus,
// so only a few run at once and the rest stand in line.

/// One instance on one interface; interface 0 means any.
struct LookupTarget: Hashable, Sendable {
    var instanceName: String
    var interface: UInt32
}

/// Why a lookup is made.
enum LookupKind: Sendable, Equatable {
    /// A browse event came from the wire a moment ago: the first answer will do.
    case fresh
    /// The answer in the daemon's cache may be stale: listen on after it.
    case again
}

/// A line with two classes: people and fresh events first, repetitions after them.
struct LookupQueue {
    private var urgent: [LookupTarget] = []
    private var patient: [LookupTarget] = []
    private var kinds: [LookupTarget: LookupKind] = [:]
    private(set) var running: Set<LookupTarget> = []

    var isEmpty: Bool { kinds.isEmpty }

    /// Puts a target in line. One that waits already is not put twice, and is moved up if need be;
    /// one that runs is asked for again afterwards. Beyond the limit nothing is taken.
    mutating func enqueue(_ target: LookupTarget, _ kind: LookupKind, urgent isUrgent: Bool) {
        if let waiting = kinds[target] {
            if kind == .again, waiting == .fresh { kinds[target] = .again }
            guard isUrgent, let index = patient.firstIndex(of: target) else { return }
            patient.remove(at: index)
            urgent.append(target)
            return
        }
        guard kinds.count < DiscoveryLimits.lookupsQueuedMax else { return }
        kinds[target] = kind
        if isUrgent { urgent.append(target) } else { patient.append(target) }
    }

    /// The next target that may start now; it counts as running until `finish`.
    mutating func next() -> (target: LookupTarget, kind: LookupKind)? {
        guard running.count < DiscoveryLimits.lookupsMax else { return nil }
        for line in [\LookupQueue.urgent, \LookupQueue.patient] {
            guard let index = self[keyPath: line].firstIndex(where: { !running.contains($0) })
            else { continue }
            let target = self[keyPath: line].remove(at: index)
            running.insert(target)
            return (target, kinds.removeValue(forKey: target) ?? .fresh)
        }
        return nil
    }

    mutating func finish(_ target: LookupTarget) { running.remove(target) }

    /// Forgets everything, as after the loss of the daemon.
    mutating func removeAll() { self = LookupQueue() }
}

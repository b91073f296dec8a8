// Readers that wait for something new, by group.

internal import RelayProtocol
internal import Synchronization

/// Who waits, behind which entry of which group, and until when.
final class Waiters: Sendable {
    /// One waiting reader.
    struct Waiter: Sendable {
        var exchange: Exchange
        var group: Int64
        /// Behind the last entry that it has.
        var position: LogPosition
        /// On the monotonic clock, in milliseconds.
        var deadline: Int64
    }

    private struct State {
        var groups: [Int64: [ObjectIdentifier: Waiter]] = [:]
        var count = 0
        /// No deadline is earlier.
        var earliest = Int64.max
    }

    private let state = Mutex(State())

    var count: Int { state.withLock { $0.count } }

    func park(_ waiter: Waiter) {
        state.withLock {
            if $0.groups[waiter.group, default: [:]].updateValue(
                waiter, forKey: ObjectIdentifier(waiter.exchange)) == nil
            {
                $0.count += 1
            }
            $0.earliest = min($0.earliest, waiter.deadline)
        }
    }

    /// - Returns: false when somebody else has taken it already, who answers it.
    func take(_ exchange: Exchange, of group: Int64) -> Bool {
        state.withLock {
            guard $0.groups[group]?.removeValue(forKey: ObjectIdentifier(exchange)) != nil else {
                return false
            }
            $0.count -= 1
            if $0.groups[group]?.isEmpty == true { $0.groups[group] = nil }
            return true
        }
    }

    /// Takes all readers of a group.
    func take(group: Int64) -> [Waiter] {
        state.withLock {
            guard let all = $0.groups.removeValue(forKey: group) else { return [] }
            $0.count -= all.count
            return Array(all.values)
        }
    }

    /// Takes readers whose time is over.
    func takeDue(at moment: Int64) -> [Waiter] {
        state.withLock { state in
            guard moment >= state.earliest else { return [] }
            var due: [Waiter] = []
            state.earliest = .max
            for (group, waiters) in state.groups {
                for (id, waiter) in waiters {
                    if waiter.deadline <= moment {
                        due.append(waiter)
                        state.groups[group]?[id] = nil
                    } else {
                        state.earliest = min(state.earliest, waiter.deadline)
                    }
                }
                if state.groups[group]?.isEmpty == true { state.groups[group] = nil }
            }
            state.count -= due.count
            return due
        }
    }

    /// Each group that is waited for, and the least entry that one of its readers has.
    var groups: [Int64: Int64] {
        state.withLock { $0.groups.mapValues { $0.values.map(\.position.number).min() ?? .max } }
    }
}

// When a node may use its relay: what a person set against where the machine is. Pure; what the machine
// says is read elsewhere (Surroundings.swift).

/// What has to hold before anything is sent to a relay. Without any of it, everything may go.
package struct RelayConditions: Hashable, Sendable {
    /// Not over a link that costs by the byte.
    package var avoidsMetered = false
    /// Interfaces that are metered whatever the system says of them: names, with `*` and `?`.
    package var meteredInterfaces: [String] = []
    /// On battery only while it holds this much, in percent.
    package var batteryPercentMin: Int?
    /// Only in one of these times; empty is always.
    package var hours: [HourRange] = []

    package init() {}

    /// Whether the relay may be used now.
    package func evaluate(_ now: Surroundings) -> ConditionVerdict {
        let verdicts = [evaluateHours(now), evaluateBattery(now), evaluateLink(now)]
        // The one that lasts longest is the one to look at, and to show.
        if let wait = verdicts.filter({ $0.reason != nil }).max(by: {
            $0.lookAgainAfterSeconds < $1.lookAgainAfterSeconds
        }) {
            return wait
        }
        let seconds = verdicts.map(\.lookAgainAfterSeconds).min()
        return .go(lookAgainAfterSeconds: seconds ?? Self.lookSeconds)
    }

    /// Batteries and links are looked at this often; hours have a time of their own.
    private static let lookSeconds = 60
    private static let daySeconds = 86_400

    private func evaluateHours(_ now: Surroundings) -> ConditionVerdict {
        guard !hours.isEmpty else { return .go(lookAgainAfterSeconds: Self.lookSeconds) }
        let second = now.secondOfDay
        let open = hours.filter { $0.contains(minute: second / 60) }
        func seconds(until minute: Int) -> Int {
            let left = (minute * 60 - second + Self.daySeconds) % Self.daySeconds
            return left == 0 ? Self.daySeconds : left
        }
        guard open.isEmpty else {
            let end = open.map { $0.isWholeDay ? Self.lookSeconds : seconds(until: $0.endMinute) }
            return .go(lookAgainAfterSeconds: min(Self.lookSeconds, end.max() ?? 0))
        }
        let start = hours.map { seconds(until: $0.startMinute) }.min() ?? Self.daySeconds
        // Clocks are set and zones change: never sleep for hours on an old answer.
        return .wait(
            .hours, "it is not the time for it (\(hours.map(\.text).joined(separator: ", ")))",
            lookAgainAfterSeconds: min(start, 600))
    }

    private func evaluateBattery(_ now: Surroundings) -> ConditionVerdict {
        guard let least = batteryPercentMin, let battery = now.battery, battery.isInUse,
            battery.percent < least
        else { return .go(lookAgainAfterSeconds: Self.lookSeconds) }
        return .wait(
            .battery, "the battery holds \(battery.percent) %, less than \(least) %",
            lookAgainAfterSeconds: Self.lookSeconds)
    }

    private func evaluateLink(_ now: Surroundings) -> ConditionVerdict {
        guard avoidsMetered, let interface = now.interface else {
            return .go(lookAgainAfterSeconds: Self.lookSeconds)
        }
        let isNamed = meteredInterfaces.contains { Glob.matches($0, interface.name) }
        guard isNamed || interface.isCellular else {
            return .go(lookAgainAfterSeconds: Self.lookSeconds)
        }
        return .wait(
            .metered, "the way out is \(interface.name), which is metered",
            lookAgainAfterSeconds: Self.lookSeconds)
    }
}

/// Whether the relay may be used, and when to look again, in seconds: at least then, and when something of
/// the network changes.
package enum ConditionVerdict: Equatable, Sendable {
    package enum Cause: String, Sendable, CaseIterable {
        case hours, battery, metered
    }

    case go(lookAgainAfterSeconds: Int)
    /// - Parameter reason: for people; it completes "waits: ".
    case wait(Cause, _ reason: String, lookAgainAfterSeconds: Int)

    package var mayGo: Bool { if case .go = self { true } else { false } }
    package var reason: String? { if case .wait(_, let text, _) = self { text } else { nil } }
    package var lookAgainAfterSeconds: Int {
        switch self {
        case .go(let seconds), .wait(_, _, let seconds): seconds
        }
    }
}

/// A time of the day, over midnight, too: from its first minute up to its end, which is not in it. The
/// same start and end are the whole day.
package struct HourRange: Hashable, Sendable {
    /// Minutes since midnight, local time.
    package let startMinute: Int
    package let endMinute: Int

    /// Reads `22:00-06:30`; nil for anything else. `24:00` is an end.
    package init?(text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let start = Self.minute(parts[0]), let end = Self.minute(parts[1]),
            start < 1440
        else { return nil }
        startMinute = start
        endMinute = end % 1440
    }

    package var text: String { "\(Self.text(startMinute))-\(Self.text(endMinute))" }

    package var isWholeDay: Bool { startMinute == endMinute }

    package func contains(minute: Int) -> Bool {
        if isWholeDay { return true }
        return startMinute < endMinute
            ? (startMinute..<endMinute).contains(minute)
            : minute >= startMinute || minute < endMinute
    }

    private static func text(_ minute: Int) -> String {
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(two(minute / 60)):\(two(minute % 60))"
    }

    private static func minute(_ text: some StringProtocol) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...2).contains(parts[0].utf8.count), parts[1].utf8.count == 2,
            parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), minute < 60,
            hour < 24 || (hour == 24 && minute == 0)
        else { return nil }
        return hour * 60 + minute
    }
}

/// Where the machine is, as far as conditions ask.
package struct Surroundings: Equatable, Sendable {
    package struct Interface: Equatable, Sendable {
        package var name: String
        /// A modem of a telephone network, or a line that is dialled.
        package var isCellular: Bool

        package init(name: String, isCellular: Bool) {
            self.name = name
            self.isCellular = isCellular
        }
    }

    package struct Battery: Equatable, Sendable {
        package var percent: Int
        /// The machine runs on it.
        package var isInUse: Bool

        package init(percent: Int, isInUse: Bool) {
            self.percent = percent
            self.isInUse = isInUse
        }
    }

    /// That of the default route; nil when there is none, or none is known.
    package var interface: Interface?
    /// nil for a machine without one.
    package var battery: Battery?
    /// Local time.
    package var secondOfDay: Int

    package init(interface: Interface?, battery: Battery?, secondOfDay: Int) {
        self.interface = interface
        self.battery = battery
        self.secondOfDay = secondOfDay
    }
}

/// Names with `*` (any text) and `?` (one byte).
enum Glob {
    static func matches(_ pattern: String, _ name: String) -> Bool {
        let (pattern, name) = (Array(pattern.utf8), Array(name.utf8))
        var (at, place) = (0, 0)
        // Where the last star stood, and how much of the name it has taken: one step back is enough.
        var star: (at: Int, place: Int)?
        while place < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, place)
                at += 1
            } else if at < pattern.count,
                pattern[at] == UInt8(ascii: "?") || pattern[at] == name[place]
            {
                (at, place) = (at + 1, place + 1)
            } else if let last = star {
                star = (last.at, last.place + 1)
                (at, place) = (last.at + 1, last.place + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

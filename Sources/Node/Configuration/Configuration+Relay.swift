// The settings of this node about the group's relay. The relay itself is the group's, and shared by its
// members: `starling relay join`.

internal import RelayClient

extension Configuration {
    package struct Relay: Sendable, Equatable {
        /// Whether this node talks to the group's relay.
        package var forward = true
        /// Certificates that the relay's is checked against, in place of the system's: a PEM file.
        package var authorities: String?
        /// Tables whose changes leave first when much waits, the most urgent first.
        package var priority: [String] = []
        package var avoidsMetered = false
        package var meteredInterfaces: [String] = []
        package var batteryPercentMin: Int?
        /// Local times such as "22:00-06:30"; empty is always.
        package var hours: [String] = []
    }
}

extension Configuration.Relay {
    init(_ section: ConfigurationSection) throws(NodeError) {
        try section.allow(["forward", "ca", "priority", "conditions"])
        forward = try section.flag("forward") ?? forward
        authorities = try section.text("ca")
        priority = try section.texts("priority") ?? []
        guard let conditions = try section.section("conditions") else { return }
        try conditions.allow(["metered", "metered_interfaces", "battery_percent", "hours"])
        avoidsMetered = !(try conditions.flag("metered") ?? true)
        meteredInterfaces = try conditions.texts("metered_interfaces") ?? []
        batteryPercentMin = try conditions.number("battery_percent", 0...100)
        for text in try conditions.texts("hours") ?? [] {
            guard HourRange(text: text) != nil else {
                throw conditions.failure(
                    "hours", "\"\(text)\" in \"hours\" is no time of day: write \"22:00-06:30\"")
            }
            hours.append(text)
        }
    }

    var conditions: RelayConditions {
        var conditions = RelayConditions()
        conditions.avoidsMetered = avoidsMetered
        conditions.meteredInterfaces = meteredInterfaces
        conditions.batteryPercentMin = batteryPercentMin
        conditions.hours = hours.compactMap { HourRange(text: $0) }
        return conditions
    }
}

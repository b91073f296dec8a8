// One line of `starling doctor`: what was looked at, how it is, and what to do about it.

package struct DoctorCheck: Sendable, Equatable {
    package enum State: String, Sendable { case ok, warn, fail }

    /// A short name, such as `home` or `avahi`.
    package var name: String
    package var state: State
    package var message: String
    /// What to do; nil when all is well.
    package var remedy: String?

    package init(_ name: String, _ state: State, _ message: String, remedy: String? = nil) {
        self.name = name
        self.state = state
        self.message = message
        self.remedy = remedy
    }

    package var json: JSONValue {
        [
            "name": .string(name), "state": .string(state.rawValue), "message": .string(message),
            "remedy": JSONValue(optional: remedy),
        ]
    }
}

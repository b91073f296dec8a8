// How a command is declared. One declaration gives its parsing, its help and its completions, so
// that the three cannot contradict each other.

import Node

/// What an option's value or an operand may be.
enum ValueKind: Equatable, Sendable {
    case text
    case file
    case folder
    case address
    case count(ClosedRange<Int>)
    case seconds
    /// A number with a unit: `90s`, `10m`, `2h`, `7d`.
    case lifetime
    case choice([String])

    /// Why `text` does not fit; nil when it does.
    func objection(to text: String) -> String? {
        switch self {
        case .text, .file, .folder:
            return text.isEmpty ? "must not be empty" : nil
        case .address:
            if HostPort(text) != nil { return nil }
            return "must be HOST:PORT, such as 192.168.1.20:7878 or [fe80::1%eth0]:7878"
        case .count(let range):
            if let number = Int(text), range.contains(number) { return nil }
            return "must be a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .seconds:
            if let number = Double(text), (0...Self.secondsMax).contains(number) { return nil }
            return "must be a number of seconds from 0 to \(Int(Self.secondsMax))"
        case .lifetime:
            if let time = Self.milliseconds(text), (1000...Self.lifetimeMax).contains(time) {
                return nil
            }
            return "must be a time such as 90s, 10m, 2h or 7d, and 7d at the most"
        case .choice(let words):
            if words.contains(text) { return nil }
            let meant = Suggestion.nearest(to: text, among: words)
            return "must be one of \(words.joined(separator: ", "))"
                + (meant.map { "; did you mean \($0)?" } ?? "")
        }
    }

    private static let lifetimeMax: Int64 = 7 * 86_400_000

    /// Milliseconds of a text such as `10m`; nil when it is none.
    static func milliseconds(_ text: String) -> Int64? {
        let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
        guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()),
            number > 0, number < 1_000_000
        else { return nil }
        return number * unit
    }

    /// A year: longer is a mistake.
    static let secondsMax = 31_536_000.0
}

struct OptionSpec: Equatable, Sendable {
    /// With its dashes.
    let name: String
    /// A one-letter form with its dash.
    var short: String?
    /// What stands for the value in help; nil for a flag.
    var placeholder: String?
    var kind = ValueKind.text
    var repeats = false
    let help: String

    static let home = OptionSpec(
        name: "--home", placeholder: "DIR", kind: .folder,
        help: "the node's home folder (else STARLING_HOME, else ~/.local/share/starling)")
    static let json = OptionSpec(name: "--json", help: "print one JSON object for scripts")
    static let help = OptionSpec(name: "--help", short: "-h", help: "explain this command")
    static let version = OptionSpec(name: "--version", short: "-V", help: "print the version")
    /// Taken before and after the command's name, whatever the command.
    static let everywhere = [home, json, help, version]
}

struct OperandSpec: Equatable, Sendable {
    enum Arity: Equatable, Sendable {
        case one
        case optional
        /// Any number, at least this.
        case many(Int)
    }

    let placeholder: String
    var kind = ValueKind.text
    var arity = Arity.one
    let help: String

    /// How it stands in a synopsis.
    var synopsis: String {
        switch arity {
        case .one: placeholder
        case .optional: "[\(placeholder)]"
        case .many(0): "[\(placeholder)…]"
        case .many: "\(placeholder)…"
        }
    }
}

struct CommandSpec: Sendable {
    /// One word, or two: `conflicts show`.
    let path: [String]
    /// One line, without a full stop.
    let summary: String
    /// More of it, in sentences; paragraphs are parted by an empty line.
    var discussion = ""
    var options: [OptionSpec] = []
    var operands: [OperandSpec] = []
    /// Whether it takes `--json`.
    var printsFacts = true
    var examples: [String] = []
    let action: Action

    var name: String { path.joined(separator: " ") }

    /// Its own options and those that every command takes.
    var allOptions: [OptionSpec] {
        options
            + OptionSpec.everywhere.filter {
                $0 != .version && ($0 != .json || printsFacts)
            }
    }

    /// What is done when the words fit.
    enum Action: Sendable {
        /// Ask the running node or, without it, the offline handler.
        case control(ControlPlan)
        case initialize
        case join
        case run
        case demo
        case bench
        case relay(RelayAction)
        case completions
        case help
    }
}

/// How a command is asked over the control socket.
struct ControlPlan: Sendable {
    /// The name in the protocol.
    let command: String
    /// Whether it makes sense without a running node.
    var withoutNode = false
    /// How long the node may be silent, in milliseconds; nil is for ever.
    var silenceMilliseconds: Int? = 30_000
    /// The request's arguments.
    var arguments: @Sendable (Invocation) throws(UsageError) -> JSONObject = { _ in [:] }
    /// Makes what prints the answer.
    let view: @Sendable () -> any ReplyView
}

/// A command line that fits its declaration.
struct Invocation: Sendable {
    let command: CommandSpec
    /// Values by option name; a flag has one empty value.
    var options: [String: [String]] = [:]
    var operands: [String] = []
    var home: String?
    var json = false
    var help = false

    func has(_ option: OptionSpec) -> Bool { options[option.name] != nil }
    func value(_ option: OptionSpec) -> String? { options[option.name]?.last }
    func values(_ option: OptionSpec) -> [String] { options[option.name] ?? [] }
}

/// A command line that does not fit, in words.
struct UsageError: Error, Equatable {
    var message: String
    /// The command whose help will say more; nil for the program's.
    var command: String?
}

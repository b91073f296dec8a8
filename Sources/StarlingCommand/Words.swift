// Numbers, times and names as people read them.

import Node

enum Words {
    /// "1 change", "3 changes", "1,204 changes".
    static func count(_ number: Int64, _ one: String, _ many: String? = nil) -> String {
        "\(grouped(number)) \(number == 1 ? one : many ?? "\(one)s")"
    }

    /// Digits in groups of three.
    static func grouped(_ number: Int64) -> String {
        var digits = String(number.magnitude)
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return (number < 0 ? "-" : "") + ([digits] + groups).joined(separator: ",")
    }

    /// "Kitchen", "Kitchen and Attic", "Kitchen, Attic and Shed".
    static func list(_ items: [String]) -> String {
        guard items.count > 1, let last = items.last else { return items.first ?? "" }
        return "\(items.dropLast().joined(separator: ", ")) and \(last)"
    }

    /// "12 s", "4 min", "3 h", "2 days".
    static func duration(_ milliseconds: Int64) -> String {
        let seconds = max(0, milliseconds) / 1000
        switch seconds {
        case ..<60: return "\(seconds) s"
        case ..<3600: return "\(seconds / 60) min"
        case ..<86_400: return "\(seconds / 3600) h"
        default: return count(seconds / 86_400, "day")
        }
    }

    /// "4 min ago", "just now", "never".
    static func ago(_ moment: Int64?, now: Int64) -> String {
        guard let moment else { return "never" }
        let passed = now.subtractingReportingOverflow(moment).partialValue
        return passed < 2000 ? "just now" : "\(duration(passed)) ago"
    }

    /// "12.3 MB".
    static func bytes(_ number: Int64) -> String {
        let units = ["bytes", "kB", "MB", "GB", "TB"]
        var value = Double(number)
        var unit = 0
        while value >= 1000, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        if unit == 0 { return count(number, "byte") }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// `text` without what could steer a terminal: control characters, escapes and changes of
    /// direction become `\u{…}`. Names come from other machines and from data.
    static func safe(_ text: String) -> String {
        guard !text.unicodeScalars.allSatisfy(isHarmless) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if isHarmless(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return result
    }

    private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069, 0x200e, 0x200f: false
        default: true
        }
    }

    /// A value of a row, on one line and not longer than `limit` characters.
    static func value(_ value: JSONValue, limit: Int = 60) -> String {
        let text: String
        if case .string(let content) = value {
            text = "\"\(safe(content))\""
        } else if let digits = value["$blob"]?.string {
            text = "x'\(digits)'"
        } else if case .object(let object) = value {
            text = object.members.map { "\(safe($0.key))=\(self.value($0.value, limit: 24))" }
                .joined(separator: " ")
        } else {
            text = safe(value.text)
        }
        return text.count <= limit ? text : "\(text.prefix(limit - 1))…"
    }

    /// A row's key: `id=12`, or the columns of a composite key.
    static func key(_ key: JSONValue?) -> String { value(key ?? .null, limit: 80) }

    /// The beginning of an identifier.
    static func short(_ id: String) -> String { String(safe(id).prefix(8)) }
}

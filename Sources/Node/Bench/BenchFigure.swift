// One line of the bench's table: what was measured, what is wanted, what others reach.

/// A measured figure beside its goal.
struct BenchFigure {
    /// A part of a figure: most have one, a few have two (a median and a tail, idle and busy).
    struct Part {
        var name: String
        var value: Double
        var goal: Double?
    }

    enum Unit: String {
        /// Time against plain SQLite's, or a rate or a size against its.
        case ratio = "×"
        case bytes = "bytes"
        case milliseconds = "ms"
        case megabytes = "MB"
        case rowsPerSecond = "rows/s"
    }

    var id: String
    var what: String
    var unit: Unit
    var parts: [Part]
    /// The goal is a floor and not a ceiling.
    var isMoreBetter = false
    var others: String?
    /// What a reader must know beside the figure.
    var note: String?

    /// nil when there is no goal.
    var isMet: Bool? {
        let goals = parts.filter { $0.goal != nil }
        guard !goals.isEmpty else { return nil }
        return goals.allSatisfy { excess($0) <= 0 }
    }

    /// How far beyond its goal a part is, as a part of the goal.
    private func excess(_ part: Part) -> Double {
        guard let goal = part.goal, goal > 0 else { return 0 }
        return isMoreBetter ? 1 - part.value / goal : part.value / goal - 1
    }

    var text: String {
        var text = parts.map { number($0.value) }.joined(separator: " / ") + " \(unit.rawValue)"
        if let note { text += " (\(note))" }
        if isMet == false {
            let worst = parts.map(excess).max() ?? 0
            text += ", missed by \(max(1, Int((worst * 100).rounded()))) %"
        }
        return text
    }

    private var goalText: String? {
        let goals = parts.compactMap(\.goal)
        guard !goals.isEmpty else { return nil }
        let sign = isMoreBetter ? "≥" : "≤"
        let numbers = goals.map { BenchFigure.shortest($0) }.joined(separator: " / ")
        return "\(sign) \(numbers) \(unit.rawValue)"
    }

    private func number(_ value: Double) -> String {
        switch unit {
        case .ratio: BenchFigure.fixed(value, places: 2)
        case .bytes, .rowsPerSecond: BenchFigure.fixed(value, places: 0)
        case .milliseconds: BenchFigure.fixed(value, places: value < 1 ? 2 : 1)
        case .megabytes: BenchFigure.fixed(value, places: 1)
        }
    }

    static func fixed(_ value: Double, places: Int) -> String {
        guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
        var scale: Int64 = 1
        for _ in 0..<places { scale *= 10 }
        let scaled = Int64((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard places > 0 else { return "\(sign)\(scaled)" }
        let digits = "\(scaled % scale)"
        let zeros = String(repeating: "0", count: places - digits.utf8.count)
        return "\(sign)\(scaled / scale).\(zeros)\(digits)"
    }

    /// Goals are written as people say them.
    static func shortest(_ value: Double) -> String {
        value == value.rounded() ? fixed(value, places: 0) : "\(value)"
    }

    var json: JSONValue {
        [
            "id": .string(id), "what": .string(what), "value": json(parts.map(\.value), text),
            "unit": .string(unit.rawValue), "text": .string(text),
            "goal": goalText.map { json(parts.compactMap(\.goal), $0, isGoal: true) } ?? .null,
            "met": isMet.map { .bool($0) } ?? .null, "others": JSONValue(optional: others),
        ]
    }

    /// A number alone where there is one; otherwise an object by part. A goal always has its text.
    private func json(_ values: [Double], _ text: String, isGoal: Bool = false) -> JSONValue {
        if values.count == 1, !isGoal { return .double(values[0]) }
        var object = JSONObject()
        object.append("text", .string(text))
        for (part, value) in zip(parts, values) {
            object.append(parts.count == 1 ? "value" : part.name, .double(value))
        }
        return .object(object)
    }
}

// What the views write on: lines, colours, columns and progress, without knowing about terminals.

import Node

/// The colours that carry a meaning.
enum Tone: String {
    case good = "32"
    case warning = "33"
    case bad = "31"
    case strong = "1"
    case quiet = "2"
}

final class Page {
    let output: Output
    let json: Bool
    private let progress: ProgressBar

    init(output: Output, errors: Output, json: Bool, now: @escaping () -> Int64) {
        self.output = output
        self.json = json
        progress = ProgressBar(
            errors: errors, isShown: output.isTerminal && errors.isTerminal && !json, now: now)
    }

    func print(_ line: String = "") {
        progress.clear()
        output.print(line)
    }

    func flush() {
        progress.clear()
        output.flush()
    }

    /// Shows `{"what","done","total","unit"}`.
    func show(progress value: JSONValue) { progress.show(value) }

    func paint(_ text: String, _ tone: Tone) -> String {
        output.colours ? "\u{1b}[\(tone.rawValue)m\(text)\u{1b}[0m" : text
    }

    /// Rows in columns, two spaces apart and `indent` from the left; no space at the ends of
    /// lines. A tone colours one cell.
    func columns(_ rows: [[Cell]], indent: Int = 2) {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.text.count)
            }
        }
        for row in rows {
            var line = String(repeating: " ", count: indent)
            let last = row.lastIndex { !$0.text.isEmpty } ?? 0
            for (index, cell) in row.enumerated() where index <= last {
                line += cell.tone.map { paint(cell.text, $0) } ?? cell.text
                if index < last {
                    line += String(repeating: " ", count: widths[index] - cell.text.count + 2)
                }
            }
            print(line)
        }
    }

    struct Cell: ExpressibleByStringInterpolation {
        var text: String
        var tone: Tone?

        init(_ text: String, _ tone: Tone? = nil) {
            self.text = text
            self.tone = tone
        }

        init(stringLiteral value: String) { self.init(value) }
    }
}

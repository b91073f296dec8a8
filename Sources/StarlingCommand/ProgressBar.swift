// The bar of long work: one line on standard error that draws itself over, and goes without a
// trace.

import Node

final class ProgressBar {
    private let errors: Output
    private let isShown: Bool
    private let now: () -> Int64
    private var isDrawn = false
    private var drawnAt: Int64 = .min
    private var started: (what: String, at: Int64)?

    private static let pauseMilliseconds: Int64 = 100
    private static let cells = 24

    init(errors: Output, isShown: Bool, now: @escaping () -> Int64) {
        self.errors = errors
        self.isShown = isShown
        self.now = now
    }

    func show(_ value: JSONValue) {
        guard isShown, let line = line(value) else { return }
        let moment = now()
        guard drawnAt == .min || moment - drawnAt >= Self.pauseMilliseconds else { return }
        drawnAt = moment
        isDrawn = true
        errors.write("\r\u{1b}[K\(line.prefix(errors.width - 1))")
        errors.flush()
    }

    func clear() {
        guard isDrawn else { return }
        isDrawn = false
        drawnAt = .min
        errors.write("\r\u{1b}[K")
        errors.flush()
    }

    private func line(_ value: JSONValue) -> String? {
        guard let done = value["done"]?.int else { return nil }
        let what = Words.safe(value["what"]?.string ?? "Working")
        let unit = Words.safe(value["unit"]?.string ?? "")
        let moment = now()
        if started?.what != what { started = (what, moment) }
        guard let total = value["total"]?.int, total > 0 else {
            return "\(what)  \(Words.grouped(done)) \(unit)"
        }
        let part = min(1, max(0, Double(done) / Double(total)))
        let full = Int(part * Double(Self.cells))
        let bar =
            String(repeating: "█", count: full)
            + String(repeating: "░", count: Self.cells - full)
        var line = "\(what)  \(bar) \(Int(part * 100)) %  "
        line += "\(Words.grouped(done)) of \(Words.grouped(total)) \(unit)"
        let elapsed = moment - (started?.at ?? moment)
        // An estimate before the first seconds is a guess.
        if elapsed > 2000, part > 0.02, part < 1 {
            line += "  \(Words.duration(Int64(Double(elapsed) / part * (1 - part)))) left"
        }
        return line
    }
}

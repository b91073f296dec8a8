// A QR code in a terminal: two rows of modules in one line of text, black on white whatever the terminal's
// own colours are, with the quiet zone that the standard asks for.

import CQREncode

/// The QR code (ISO/IEC 18004) of a text.
struct QRCode {
    private static let quiet = 4
    private let modules: [[Bool]]

    /// nil when the text is too long for any code.
    init?(_ text: String) {
        // Eight bits a letter only where it must be: an invitation is digits and capital letters.
        guard let code = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1) else {
            return nil
        }
        defer { QRcode_free(code) }
        let size = Int(code.pointee.width)
        guard let data = code.pointee.data else { return nil }
        modules = (0..<size).map { row in
            (0..<size).map { column in data[row * size + column] & 1 == 1 }
        }
    }

    /// In characters.
    var width: Int { modules.count + 2 * Self.quiet }

    /// Black on white (ECMA-48, SGR 30 and 47), up to the end of the quiet zone and no further.
    static let black = "\u{1b}[30;47m"
    static let plain = "\u{1b}[0m"

    /// - Parameter colours: whether colours may be said. Where not, white is drawn and black is the
    ///   background, right for a dark terminal; on a light one it is inverted, which most readers take.
    func lines(colours: Bool) -> [String] {
        let drawn = rows(drawsLight: !colours)
        return colours ? drawn.map { Self.black + $0 + Self.plain } : drawn
    }

    private func rows(drawsLight: Bool) -> [String] {
        stride(from: -Self.quiet, to: modules.count + Self.quiet, by: 2).map { row in
            var line = ""
            for column in -Self.quiet..<modules.count + Self.quiet {
                let upper = isLight(row, column) == drawsLight
                let lower = isLight(row + 1, column) == drawsLight
                switch (upper, lower) {
                case (true, true): line += "█"
                case (true, false): line += "▀"
                case (false, true): line += "▄"
                case (false, false): line += " "
                }
            }
            return line
        }
    }

    private func isLight(_ row: Int, _ column: Int) -> Bool {
        guard modules.indices.contains(row), modules.indices.contains(column) else { return true }
        return !modules[row][column]
    }
}

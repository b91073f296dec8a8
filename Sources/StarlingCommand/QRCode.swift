// A QR code in a terminal: two rows of modules in one line of text, dark on light by the terminal's own
// colours turned round, with the quiet zone that the standard asks for.

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

    /// White is drawn, black is the background: on a light terminal the code is inverted, which readers
    /// of this century take.
    var lines: [String] {
        stride(from: -Self.quiet, to: modules.count + Self.quiet, by: 2).map { row in
            var line = ""
            for column in -Self.quiet..<modules.count + Self.quiet {
                switch (isLight(row, column), isLight(row + 1, column)) {
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

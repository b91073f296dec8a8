// The code on the terminal: the same modules whatever the terminal's colours, and white around them.

import Testing

@testable import StarlingCommand

@Suite struct QRCodeTests {
    private static let line =
        "STARLING1-" + String(repeating: "0123456789ABCDEFGHJKMNPQRSTVWXYZ", count: 4)

    /// Which half blocks of a line are drawn, upper and lower row.
    private func drawn(_ line: String) -> [[Bool]] {
        [["█", "▀"], ["█", "▄"]].map { marks in line.map { marks.contains(String($0)) } }
    }

    /// Reproducer: white was drawn in the colour of the text, so that a light terminal showed it inverted.
    @Test func darkModulesAreBlackOnWhiteInAnyTerminal() throws {
        let code = try #require(QRCode(Self.line))
        let coloured = code.lines(colours: true)
        let bare = code.lines(colours: false)
        #expect(coloured.count == bare.count)
        for (line, other) in zip(coloured, bare) {
            #expect(line.hasPrefix("\u{1b}[30;47m") && line.hasSuffix("\u{1b}[0m"))
            let text = String(line.dropFirst(QRCode.black.count).dropLast(QRCode.plain.count))
            #expect(text.count == code.width && other.count == code.width)
            // Of what is drawn in one, the other draws the rest.
            #expect(drawn(text) == drawn(other).map { $0.map { !$0 } })
        }
        #expect(bare.allSatisfy { !$0.contains("\u{1b}") })
    }

    @Test func quietZoneIsFourModulesOfWhite() throws {
        let code = try #require(QRCode(Self.line))
        let rows = code.lines(colours: true).map {
            String($0.dropFirst(QRCode.black.count).dropLast(QRCode.plain.count))
        }
        let blank = String(repeating: " ", count: code.width)
        #expect(rows.prefix(2).allSatisfy { $0 == blank } && rows[2] != blank)
        #expect(rows.suffix(1).allSatisfy { $0 == blank })
        for row in rows {
            #expect(row.hasPrefix("    ") && row.hasSuffix("    "), "\(row)")
        }
        // The corner's square, seven modules wide.
        #expect(rows[2].dropFirst(4).hasPrefix("█▀▀▀▀▀█ "))
    }
}

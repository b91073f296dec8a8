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

    /// Reads a code as a camera would, with zbar's library: half blocks on standard input, '#' is black.
    private static let reader = """
        import ctypes, ctypes.util, sys
        rows = [line.rstrip('\\n') for line in sys.stdin]
        scale = 4
        image = b''.join(
            bytes(0 if mark == '#' else 255 for mark in row for _ in range(scale)) * scale
            for row in rows)
        width, height = len(rows[0]) * scale, len(rows) * scale
        zbar = ctypes.CDLL(ctypes.util.find_library('zbar') or 'libzbar.so.0')
        for name in ('zbar_image_scanner_create', 'zbar_image_create', 'zbar_image_first_symbol'):
            getattr(zbar, name).restype = ctypes.c_void_p
        zbar.zbar_symbol_get_data.restype = ctypes.c_char_p
        picture = ctypes.c_void_p(zbar.zbar_image_create())
        zbar.zbar_image_set_format(picture, ctypes.c_ulong(int.from_bytes(b'Y800', 'little')))
        zbar.zbar_image_set_size(picture, width, height)
        zbar.zbar_image_set_data(picture, image, ctypes.c_ulong(len(image)), None)
        zbar.zbar_scan_image(ctypes.c_void_p(zbar.zbar_image_scanner_create()), picture)
        symbol = zbar.zbar_image_first_symbol(picture)
        print(zbar.zbar_symbol_get_data(ctypes.c_void_p(symbol)).decode() if symbol else 'nothing')
        """

    /// What the terminal shows, scanned, is the line; as long as lines become, with many addresses.
    @Test(arguments: [true, false], [1, 4, 16])
    func whatTheTerminalShowsCanBeScanned(colours: Bool, length: Int) throws {
        let letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        let text = "STARLING1-" + String(repeating: letters, count: length)
        let code = try #require(QRCode(text))
        let reader = try ForeignProcess("python3", ["-c", Self.reader])
        for row in code.lines(colours: colours) {
            let marks = row.filter { "█▀▄ ".contains($0) }
            #expect(marks.count == code.width)
            for half in drawn(marks) {
                // With colours black is drawn; without them white is, on a dark terminal.
                let marks = half.map { $0 == colours ? "#" : "." }.joined()
                reader.write(Array("\(marks)\n".utf8))
            }
        }
        reader.closeInput()
        #expect(reader.line() == text)
        #expect(reader.exitCode() == 0)
    }
}

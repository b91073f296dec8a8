// The house rules that a machine can check: what a module may know, how long things may be, and
// words that must not stay in the code.

import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One source file of the project.
private struct SourceFile {
    let path: String
    let lines: [String]

    static let root: String = {
        // This file is Tests/HouseTests/HouseTests.swift below the root.
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/")
    }()

    /// Every Swift file below `folder`.
    static func all(in folder: String) -> [SourceFile] {
        guard let directory = opendir("\(root)/\(folder)") else { return [] }
        defer { closedir(directory) }
        var files: [SourceFile] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            let path = "\(folder)/\(name)"
            if name.hasSuffix(".swift") {
                files.append(SourceFile(path: path, lines: read("\(root)/\(path)")))
            } else {
                files += all(in: path)
            }
        }
        return files
    }

    static func read(_ path: String) -> [String] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }
}

@Suite struct HouseTests {
    /// What each module may import of the project; the layers of the README.
    private static let mayKnow: [String: Set<String>] = [
        "Values": [], "Threads": [],
        "SQLite": ["CSQLite", "Values"],
        "CausalModel": ["Values"],
        "Codec": ["CausalModel", "Values", "CZstd", "CXXHash"],
        "Store": ["SQLite", "CausalModel", "Codec", "Values", "CPlatform"],
        "Wire": ["Codec", "CausalModel", "Values"],
        "Transport": ["CUV", "CPlatform"],
        "Trust": ["COpenSSL"],
        "Discovery": ["Threads", "CDNSSD", "CPlatform"],
        "RelayProtocol": [],
        "Relay": [
            "RelayProtocol", "SQLite", "Trust", "Values", "Threads", "CMicroHTTPD", "CPostgreSQL",
            "CPlatform",
        ],
        "RelayClient": [
            "RelayProtocol", "Trust", "Codec", "Values", "Threads", "CCurl", "CPlatform",
        ],
        "Sync": ["Store", "Wire", "Codec", "CausalModel", "Values", "RelayProtocol"],
        "Node": [
            "Sync", "Store", "Wire", "Codec", "CausalModel", "SQLite", "Values", "Transport",
            "Discovery", "Trust", "RelayClient", "RelayProtocol", "CPlatform",
        ],
        "Starling": ["Node"],
        "StarlingCommand": [
            "Starling", "Node", "Relay", "RelayProtocol", "CPlatform", "CQREncode",
        ],
    ]

    private static let linesMax = 400
    /// The formatter holds code to 100 columns; text inside literals may run a little further.
    private static let columnsMax = 110
    private static let functionLinesMax = 70

    @Test func modulesKnowOnlyThoseBelowThem() throws {
        let own = Set(Self.mayKnow.keys).union(["CSQLite", "CUV", "CDNSSD", "CZstd", "CXXHash"])
            .union(["CPlatform", "COpenSSL", "CQREncode", "CMicroHTTPD", "CPostgreSQL"])
            .union(["CCurl"])
        for (module, allowed) in Self.mayKnow {
            let files = SourceFile.all(in: "Sources/\(module)")
            try #require(!files.isEmpty, "no file of module \(module) was found")
            for file in files {
                for line in file.lines {
                    let words = line.split(separator: " ")
                    guard let place = words.firstIndex(of: "import"), place <= 2,
                        place + 1 < words.count, !line.hasPrefix(" ")
                    else { continue }
                    let name = String(words[place + 1])
                    if own.contains(name) {
                        #expect(allowed.contains(name), "\(file.path) imports \(name)")
                    }
                    #expect(name != "Foundation", "\(file.path) imports full Foundation")
                }
            }
        }
    }

    @Test func nothingIsTooLong() {
        for file in SourceFile.all(in: "Sources") + SourceFile.all(in: "Tests") {
            #expect(file.lines.count <= Self.linesMax, "\(file.path) has \(file.lines.count) lines")
            for (index, line) in file.lines.enumerated() where line.count > Self.columnsMax {
                Issue.record("\(file.path):\(index + 1) has \(line.count) columns")
            }
        }
    }

    @Test func functionsAreShort() {
        for file in SourceFile.all(in: "Sources") {
            var start: (line: Int, indent: Int)?
            for (index, line) in file.lines.enumerated() {
                let indent = line.prefix { $0 == " " }.count
                if let open = start {
                    if indent == open.indent, line.dropFirst(indent).hasPrefix("}") {
                        let length = index - open.line + 1
                        #expect(
                            length <= Self.functionLinesMax,
                            "\(file.path):\(open.line + 1) is \(length) lines long")
                        start = nil
                    }
                } else if line.contains("func ") || line.contains("init(") {
                    let isDeclaration = line.dropFirst(indent).split(separator: " ").prefix(5)
                        .contains {
                            $0 == "func" || $0.hasPrefix("init(") || $0.hasPrefix("init?(")
                        }
                    if isDeclaration, !line.hasSuffix("}") { start = (index, indent) }
                }
            }
        }
    }

    @Test func nothingIsLeftForLater() {
        // Put together here, so that this file does not hold them.
        let words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "not " + "implemented"]
        for file in SourceFile.all(in: "Sources") + SourceFile.all(in: "Tests") {
            for (index, line) in file.lines.enumerated() {
                for word in words
                where line.contains(word) && !line.contains("XX" + "XXXX")
                    && !line.contains("\"XX\"")
                {
                    Issue.record("\(file.path):\(index + 1) says \(word)")
                }
            }
        }
    }

    /// `Suite/test` in the page on threats is a test that there is.
    @Test func claimsNameTestsThatExist() throws {
        let page = SourceFile.read("\(SourceFile.root)/Sources/Trust/Trust.docc/Threats.md")
        let names = page.flatMap { line in
            line.split(separator: "`").filter { $0.contains("Tests/") && !$0.contains(" ") }
        }.filter { $0 != "Tests/" && $0 != "Suite/test" }
        #expect(names.count > 30)
        let tests = SourceFile.all(in: "Tests")
        for name in names {
            let parts = name.split(separator: "/")
            let isThere = tests.contains { file in
                file.path.hasSuffix("/\(parts[0]).swift")
                    && file.lines.contains { $0.contains("func \(parts[1])(") }
            }
            #expect(isThere, "no test \(name)")
        }
    }

    @Test func everyFileSaysWhatItIsFor() {
        for file in SourceFile.all(in: "Sources") {
            #expect(file.lines.first?.hasPrefix("//") == true, "\(file.path) has no purpose")
        }
    }
}

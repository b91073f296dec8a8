// The kept inputs of a target: a text file, one line of a name and hexadecimal digits for each. `-`
// names what only widens the coverage; any other name says which defect the input found.

import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

enum Corpus {
    struct Input {
        var line: Int
        var name: String
        var bytes: [UInt8]
    }

    /// The inputs in the file at `path`, in its order.
    static func inputs(of path: String) throws -> [Input] {
        guard let text = content(path) else { throw FuzzFailure(description: "no file \(path)") }
        var inputs: [Input] = []
        for (index, line) in text.split(separator: 0x0a).enumerated() {
            let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            guard parts.count == 2, let bytes = Hexadecimal.bytes(parts[1]) else {
                throw FuzzFailure(description: "\(path):\(index + 1) is no name and digits")
            }
            inputs.append(Input(line: index + 1, name: parts[0], bytes: bytes))
        }
        return inputs
    }

    private static func content(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "rb") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
    }
}

// Every kept input of the fuzzers again, without a fuzzer: seeds, what widened the coverage, and
// each input that once found a defect.

import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

private let folder: String = {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast()
    return parts.joined(separator: "/") + "/Corpus"
}()

private func names(in folder: String) -> [String] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
}

/// One at a time: the targets that drive a store share one.
@Suite(.serialized) struct ReplayTests {
    @Test(arguments: FuzzTarget.all.map(\.name)) func keptInputs(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let inputs = try Corpus.inputs(of: "\(folder)/\(name)")
        #expect(!inputs.isEmpty, "the corpus of \(name) is empty")
        for input in inputs {
            do { try target.check(input.bytes) } catch {
                Issue.record("\(name):\(input.line) (\(input.name)): \(error)")
            }
        }
        for seed in try target.seeds() { try target.check(seed) }
    }

    /// A file that no target reads would rot.
    @Test func everyCorpusHasATarget() {
        #expect(names(in: folder) == FuzzTarget.all.map(\.name).sorted())
    }
}

// The doors through which libFuzzer enters. Part of the fuzzing build only: `Config/fuzz`.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

private func setting(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

private func say(_ text: String) { _ = (text + "\n").withCString { write(2, $0, strlen($0)) } }

/// Chosen once by `FUZZ_TARGET`; libFuzzer's own workers inherit it.
nonisolated(unsafe) private var target: FuzzTarget?

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>?,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>?
) -> CInt {
    let name = setting("FUZZ_TARGET") ?? ""
    if name == "list" {
        for target in FuzzTarget.all { print(target.name, target.bytesMax) }
        exit(0)
    }
    target = FuzzTarget.named(name)
    guard let target else {
        say("FUZZ_TARGET names none of \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
        exit(2)
    }
    guard let folder = setting("FUZZ_SEEDS") else { return 0 }
    do {
        for (index, seed) in try target.seeds().enumerated() {
            writeFile("\(folder)/seed-\(index)", seed)
        }
        for input in try Corpus.inputs(of: setting("FUZZ_CORPUS") ?? "") {
            writeFile("\(folder)/kept-\(input.line)", input.bytes)
        }
        let lines = target.words.map { "\"" + $0.map(escaped).joined() + "\"\n" }
        writeFile("\(folder).dict", Array(("# \(name)\n" + lines.joined()).utf8))
    } catch {
        say("the seeds cannot be made: \(error)")
        exit(1)
    }
    exit(0)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
        try target?.check(Array(UnsafeBufferPointer(start: start, count: count)))
    } catch {
        fatalError("broken promise: \(String(reflecting: error))")
    }
    return 0
}

private func escaped(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return "\\x" + (digits.count == 1 ? "0" : "") + digits
}

private func writeFile(_ path: String, _ bytes: [UInt8]) {
    guard let file = fopen(path, "wb") else {
        say("\(path) cannot be written")
        exit(1)
    }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
}

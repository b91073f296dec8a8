// A folder that lives as long as one test.

import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A fresh folder, removed with all its content when the value goes.
public final class TemporaryDirectory {
    public let path: String

    public init() {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/starling.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            preconditionFailure(
                "cannot make a temporary folder in \(base): errno \(starling_errno())")
        }
        path = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The path of `name` inside the folder.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    deinit {
        _ = starling_remove_tree(path)
    }
}

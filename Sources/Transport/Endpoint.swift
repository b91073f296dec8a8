// Addresses as people write them, and their form for the kernel.

internal import CUV

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Where a stream begins or ends.
package enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// A numeric address or a host name. IPv6 without brackets; link-local with its interface, as
    /// `fe80::1%eth0` or `fe80::1%3`.
    case tcp(host: String, port: UInt16)
    /// A socket file; empty for the unnamed end of a connection.
    case unix(path: String)

    /// `HOST:PORT`, IPv6 in brackets; a socket's path, or words for an unnamed end.
    package var description: String {
        switch self {
        case .tcp(let host, let port):
            host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path.isEmpty ? "a local program" : path
        }
    }

    /// The port, nil for a socket file.
    package var port: UInt16? {
        guard case .tcp(_, let port) = self else { return nil }
        return port
    }

    /// Reads `HOST:PORT` or `[IPv6]:PORT`.
    ///
    /// - Parameter defaultPort: taken when the text has no port; without it the port is required.
    /// - Throws: ``TransportError`` of code `invalidAddress`, which says what is wrong.
    package init(parsing text: String, defaultPort: UInt16? = nil) throws {
        func invalid(_ reason: String) -> TransportError {
            TransportError(.invalidAddress, "'\(text)' is not an address: \(reason)")
        }
        var host: Substring
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw invalid("']' is missing") }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else {
                throw invalid("after ']' comes ':' and the port")
            }
            port = rest.isEmpty ? nil : rest.dropFirst()
            guard RawAddress(host: String(host), port: 0) != nil, host.contains(":") else {
                throw invalid(
                    "in brackets stands an IPv6 address, with its interface: fe80::1%eth0")
            }
        } else {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else {
                throw invalid("write an IPv6 address in brackets, as [fd00::1]:4000")
            }
            host = parts[0]
            port = parts.count == 2 ? parts[1] : nil
        }
        guard !host.isEmpty else {
            throw invalid("the host is missing; 0.0.0.0 or [::] means every address")
        }
        let refused = "/[]".utf8
        guard host.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !refused.contains($0) }) else {
            throw invalid("a host is a name or an address, in plain ASCII")
        }
        guard let port else {
            guard let defaultPort else { throw invalid("give the port, as HOST:PORT") }
            self = .tcp(host: String(host), port: defaultPort)
            return
        }
        guard port.allSatisfy(\.isNumber), let number = UInt16(port) else {
            throw invalid("the port is a number from 0 to 65535")
        }
        self = .tcp(host: String(host), port: number)
    }
}

/// A socket address of the kernel, IPv4 or IPv6.
struct RawAddress {
    private var storage = sockaddr_storage()

    /// A numeric address; nil when `host` is a name or its interface does not exist.
    init?(host: String, port: UInt16) {
        var four = sockaddr_in()
        if uv_ip4_addr(host, Int32(port), &four) == 0 {
            fill(from: &four)
            return
        }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var six = sockaddr_in6()
        guard uv_ip6_addr(String(parts[0]), Int32(port), &six) == 0 else { return nil }
        if parts.count == 2 {
            // libuv takes interfaces by name only.
            let scope = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            guard scope > 0 else { return nil }
            six.sin6_scope_id = scope
        }
        fill(from: &six)
    }

    /// A copy of what a name look-up gave; nil for another family.
    init?(_ address: UnsafePointer<sockaddr>, length: Int) {
        let family = Int32(address.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6,
            length <= MemoryLayout<sockaddr_storage>.size
        else { return nil }
        withUnsafeMutableBytes(of: &storage) { target in
            target.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
        }
    }

    /// What `read` (getsockname or getpeername) writes; nil when it fails.
    init?(_ read: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<Int32>) -> Int32) {
        var length = Int32(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { read($0, &length) }
        }
        guard status == 0 else { return nil }
    }

    private mutating func fill<Source>(from source: inout Source) {
        withUnsafeMutableBytes(of: &storage) { target in
            withUnsafeBytes(of: &source) { target.copyMemory(from: $0) }
        }
    }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
        }
    }

    /// The address in words. An IPv4 peer of a dual-stack listener is shown as IPv4, a link-local
    /// address with the name of its interface.
    var endpoint: Endpoint {
        let host = withPointer { pointer in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
                guard uv_ip_name(pointer, buffer.baseAddress, buffer.count) == 0,
                    let start = buffer.baseAddress
                else { return "?" }
                return String(cString: start)
            }
        }
        return withUnsafeBytes(of: storage) { bytes in
            // The port stands at the same place in both families.
            let port = UInt16(bigEndian: bytes.load(fromByteOffset: 2, as: UInt16.self))
            guard Int32(storage.ss_family) == AF_INET6 else { return .tcp(host: host, port: port) }
            if host.hasPrefix("::ffff:"), host.utf8.contains(UInt8(ascii: ".")) {
                return .tcp(host: String(host.dropFirst(7)), port: port)
            }
            let scope = bytes.loadUnaligned(as: sockaddr_in6.self).sin6_scope_id
            guard scope != 0 else { return .tcp(host: host, port: port) }
            return .tcp(host: "\(host)%\(Self.interfaceName(scope))", port: port)
        }
    }

    private static func interfaceName(_ index: UInt32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            var size = buffer.count
            guard uv_if_indextoname(index, buffer.baseAddress, &size) == 0,
                let start = buffer.baseAddress
            else { return "\(index)" }
            return String(cString: start)
        }
    }
}

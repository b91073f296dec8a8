// One DNSServiceRef of the Bonjour API with the rules it needs on Avahi. Callbacks only store what
// came; the engine takes it afterwards, so that nothing is ever deallocated inside a callback.

import CDNSSD

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What a reference was told by the daemon.
enum ServiceReply: Equatable {
    /// The reference is dead: nothing more will come from it.
    case failed(Int32)
    case registered(name: String)
    case browsed(name: String, interface: UInt32, added: Bool)
    case resolved(ServiceLocation)
    case address(String, added: Bool)
}

/// A call of the API that was refused, with its result code.
struct ServiceCallError: Error {
    var code: Int32
}

/// An open registration, browse, resolve or query.
///
/// It belongs to the discovery thread: every call, `deinit` included, must be made there, since its
/// counting is not atomic. Any call may block for 25 s when the daemon hangs.
final class ServiceReference {
    private final class Replies {
        var waiting: [ServiceReply] = []
    }

    /// Multicast DNS has one domain (RFC 6762 §3).
    private static let domain = "local"

    private typealias Start = (
        _ out: UnsafeMutablePointer<DNSServiceRef?>, _ context: UnsafeMutableRawPointer
    ) -> DNSServiceErrorType

    private let reference: DNSServiceRef
    private let replies: Replies
    /// Readable when `process` has something to do.
    let descriptor: Int32

    private init(_ start: Start) throws(ServiceCallError) {
        let replies = Replies()
        var opened: DNSServiceRef?
        let code = start(&opened, Unmanaged.passUnretained(replies).toOpaque())
        guard code == DNSServiceCode.none, let opened else {
            throw ServiceCallError(code: code == 0 ? DNSServiceCode.unknown : code)
        }
        reference = opened
        self.replies = replies
        descriptor = DNSServiceRefSockFD(opened)
    }

    /// Exactly once: a second time aborts the process.
    deinit { DNSServiceRefDeallocate(reference) }

    /// Reads what made the descriptor readable; with nothing to read it would block for ever.
    ///
    /// - Returns: the replies in order, a failure of the call itself last.
    func process() -> [ServiceReply] {
        let code = DNSServiceProcessResult(reference)
        defer { replies.waiting = [] }
        return replies.waiting + (code == DNSServiceCode.none ? [] : [.failed(code)])
    }

    /// Replies that came within the call that opened the reference.
    func takeReplies() -> [ServiceReply] {
        defer { replies.waiting = [] }
        return replies.waiting
    }

    // MARK: The four kinds. Flags are always 0: Avahi refuses every other value.

    static func register(
        type: String, _ announcement: ServiceAnnouncement
    ) throws(ServiceCallError) -> ServiceReference {
        let txt = TXTRecord.encode(announcement.txt)
        return try ServiceReference { out, context in
            txt.withUnsafeBytes { bytes in
                DNSServiceRegister(
                    out, 0, 0, announcement.instanceName, type, domain, nil,
                    announcement.port.bigEndian, UInt16(bytes.count), bytes.baseAddress,
                    { _, _, code, name, _, _, context in
                        ServiceReference.deliver(to: context, code) {
                            name.map { .registered(name: String(cString: $0)) }
                        }
                    }, context)
            }
        }
    }

    static func browse(type: String) throws(ServiceCallError) -> ServiceReference {
        try ServiceReference { out, context in
            DNSServiceBrowse(
                out, 0, 0, type, domain,
                { _, flags, interface, code, name, _, _, context in
                    ServiceReference.deliver(to: context, code) {
                        guard let name, let valid = String(validatingCString: name) else {
                            return nil
                        }
                        return .browsed(
                            name: valid, interface: interface,
                            added: flags & DNSServiceFlags(kDNSServiceFlagsAdd) != 0)
                    }
                }, context)
        }
    }

    static func resolve(
        type: String, _ target: LookupTarget
    ) throws(ServiceCallError) -> ServiceReference {
        try ServiceReference { out, context in
            DNSServiceResolve(
                out, 0, target.interface, target.instanceName, type, domain,
                { _, _, interface, code, _, host, port, length, txt, context in
                    ServiceReference.deliver(to: context, code) {
                        guard let host, let name = String(validatingCString: host) else {
                            return nil
                        }
                        let bytes = UnsafeRawBufferPointer(
                            start: txt, count: txt == nil ? 0 : Int(length))
                        return .resolved(
                            ServiceLocation(
                                host: name, port: UInt16(bigEndian: port),
                                txt: TXTRecord.decode(bytes), interface: interface))
                    }
                }, context)
        }
    }

    /// Asks for the addresses of a host: `DNSServiceGetAddrInfo` does not exist in Avahi's layer.
    static func query(
        host: String, interface: UInt32, _ kind: HostAddress.Kind
    ) throws(ServiceCallError) -> ServiceReference {
        try ServiceReference { out, context in
            DNSServiceQueryRecord(
                out, 0, interface, host, kind.rawValue, HostAddress.internetClass,
                { _, flags, interface, code, _, type, _, length, data, _, context in
                    ServiceReference.deliver(to: context, code) {
                        let bytes = UnsafeRawBufferPointer(
                            start: data, count: data == nil ? 0 : Int(length))
                        guard let kind = HostAddress.Kind(rawValue: type),
                            let text = HostAddress.text(bytes, kind, interface: interface)
                        else { return nil }
                        return .address(
                            text, added: flags & DNSServiceFlags(kDNSServiceFlagsAdd) != 0)
                    }
                }, context)
        }
    }

    private static func deliver(
        to context: UnsafeMutableRawPointer?, _ code: DNSServiceErrorType,
        _ reply: () -> ServiceReply?
    ) {
        guard let context else { return }
        let replies = Unmanaged<Replies>.fromOpaque(context).takeUnretainedValue()
        if code != DNSServiceCode.none {
            replies.waiting.append(.failed(code))
        } else if let reply = reply() {
            replies.waiting.append(reply)
        }
    }
}

/// Address records (RFC 1035 §3.4.1, RFC 3596 §2.1) as text.
enum HostAddress {
    enum Kind: UInt16, CaseIterable {
        case four = 1
        case six = 28
    }

    static let internetClass: UInt16 = 1

    /// The numeric host, or nil when nobody can be dialled there. A link-local address carries the
    /// interface as its scope: without it connecting fails with EINVAL.
    static func text(_ bytes: UnsafeRawBufferPointer, _ kind: Kind, interface: UInt32) -> String? {
        guard bytes.count == (kind == .four ? 4 : 16), bytes.contains(where: { $0 != 0 })
        else { return nil }
        let isMulticast = kind == .four ? bytes[0] >= 224 : bytes[0] == 0xff
        guard !isMulticast else { return nil }
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = kind == .four ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes.baseAddress, &buffer, socklen_t(buffer.count)) != nil
        else { return nil }
        let text = String(
            decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let isLinkLocal = kind == .six && bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80
        return isLinkLocal ? "\(text)%\(interface)" : text
    }
}

// The one error of the transport: a code to act on, and a message that says what to do.

internal import CUV

/// A failed operation of the transport.
///
/// `description` says what went wrong and what to do, and is safe to log or to send to a peer.
/// Equality is by code.
package struct TransportError:
    Error, Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible
{
    /// The kind of failure: open, so that it can grow.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        package static let refused = Code(rawValue: "refused")
        package static let unreachable = Code(rawValue: "unreachable")
        package static let timedOut = Code(rawValue: "timedOut")
        package static let reset = Code(rawValue: "reset")
        package static let unknownHost = Code(rawValue: "unknownHost")
        package static let addressInUse = Code(rawValue: "addressInUse")
        package static let addressNotAvailable = Code(rawValue: "addressNotAvailable")
        package static let invalidAddress = Code(rawValue: "invalidAddress")
        package static let denied = Code(rawValue: "denied")
        package static let notFound = Code(rawValue: "notFound")
        package static let tooManyFiles = Code(rawValue: "tooManyFiles")
        /// The peer does not read and the write queue has reached its limit.
        package static let queueFull = Code(rawValue: "queueFull")
        /// The operation was ended from this side, or its loop was closed.
        package static let closed = Code(rawValue: "closed")
        /// A frame states more payload than the frame limit.
        package static let frameTooLarge = Code(rawValue: "frameTooLarge")
        /// The frames of one message add up to more than the message limit.
        package static let messageTooLarge = Code(rawValue: "messageTooLarge")
        /// A frame without payload promises more fragments: no progress.
        package static let emptyFragment = Code(rawValue: "emptyFragment")
        package static let system = Code(rawValue: "system")
    }

    package var code: Code
    package var message: String
    /// The name of the system's error, such as `ECONNREFUSED`.
    package var systemName: String?
    package var file: String
    package var line: Int

    package init(
        _ code: Code, _ message: String, systemName: String? = nil, file: String = #fileID,
        line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.systemName = systemName
        self.file = file
        self.line = line
    }

    package static func == (left: TransportError, right: TransportError) -> Bool {
        left.code == right.code
    }

    package var description: String { message }

    package var debugDescription: String {
        "\(message) (\(code.rawValue)\(systemName.map { ", \($0)" } ?? "")) at \(file):\(line)"
    }
}

extension TransportError {
    /// The error of a libuv call that returned `status`, which is negative.
    ///
    /// - Parameters:
    ///   - task: what was tried, as in "cannot listen on [::]:4000".
    ///   - remedy: what to do, where the code alone does not tell.
    init(
        uv status: Int32, _ task: String, remedy: String? = nil, file: String = #fileID,
        line: Int = #line
    ) {
        let code = Code(uv: status)
        let reason = text(of: status, uv_strerror_r)
        let advice = (remedy ?? code.remedy).map { ": \($0)" } ?? ""
        self.init(
            code, "\(task): \(reason)\(advice)", systemName: text(of: status, uv_err_name_r),
            file: file, line: line)
    }
}

/// The text of a status; the variants with a buffer do not leak on unknown numbers.
private func text(
    of status: Int32,
    _ read: (Int32, UnsafeMutablePointer<CChar>?, Int) -> UnsafeMutablePointer<CChar>?
) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
        guard let start = read(status, buffer.baseAddress, buffer.count) else { return "error" }
        return String(cString: start)
    }
}

extension TransportError.Code {
    init(uv status: Int32) {
        switch uv_errno_t(rawValue: status) {
        case UV_ECONNREFUSED: self = .refused
        case UV_ENETUNREACH, UV_EHOSTUNREACH, UV_ENETDOWN, UV_EHOSTDOWN: self = .unreachable
        case UV_ETIMEDOUT: self = .timedOut
        case UV_ECONNRESET, UV_EPIPE, UV_ECONNABORTED, UV_ENOTCONN: self = .reset
        case UV_EADDRINUSE: self = .addressInUse
        case UV_EADDRNOTAVAIL, UV_EAFNOSUPPORT: self = .addressNotAvailable
        case UV_EACCES, UV_EPERM: self = .denied
        case UV_ENOENT, UV_ENOTDIR: self = .notFound
        case UV_EMFILE, UV_ENFILE: self = .tooManyFiles
        case UV_ECANCELED: self = .closed
        case UV_EAI_NONAME, UV_EAI_NODATA, UV_EAI_AGAIN, UV_EAI_FAIL, UV_EAI_ADDRFAMILY,
            UV_EAI_SERVICE, UV_EAI_FAMILY:
            self = .unknownHost
        default: self = .system
        }
    }

    fileprivate var remedy: String? {
        switch self {
        case .refused: "check that the node runs there and that the port is right"
        case .unreachable: "check the network of both machines and the address"
        case .timedOut: "check that the machine is on and that no firewall drops its packets"
        case .reset: "the other side ended the connection"
        case .unknownHost: "check the name, or give the numeric address"
        case .addressInUse:
            "stop the program that listens there, or choose another port (0 takes a free one)"
        case .addressNotAvailable:
            "this machine has no such address; 0.0.0.0 means every IPv4 address, [::] every address"
        case .denied: "choose a port above 1023, or give this user the right"
        case .tooManyFiles: "raise the limit of open files (ulimit -n)"
        default: nil
        }
    }
}

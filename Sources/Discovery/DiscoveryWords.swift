// The reasons why discovery is not available, in words and with the remedy. The codes of Avahi's
// layer say almost nothing (-65537 is "unknown"), so the machine is looked at as well.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Result codes of the Bonjour API that this module tells apart.
enum DNSServiceCode {
    static let none: Int32 = 0
    static let unknown: Int32 = -65537
    static let badParameter: Int32 = -65540
    static let nameConflict: Int32 = -65548
    static let noConnection: Int32 = -65553
}

package enum DiscoveryWords {
    /// What keeps DNS-SD from working on this machine as far as the file system shows it, or nil.
    ///
    /// Cheap and without blocking; for `doctor` and for the reasons below.
    package static func missingPart() -> String? {
        #if os(Linux)
        let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/sbin"]
        guard folders.contains(where: { access("\($0)/avahi-daemon", X_OK) == 0 }) else {
            return "Avahi is not installed: apt install avahi-daemon (dnf install avahi), "
                + "then systemctl start avahi-daemon"
        }
        guard let path = busSocket() else { return nil }
        guard access(path, F_OK) == 0 else {
            return "the system message bus is not running (no socket \(path)), and Avahi needs it: "
                + "apt install dbus, systemctl start dbus avahi-daemon"
        }
        #endif
        return nil
    }

    /// Why a call failed.
    ///
    /// - Parameters:
    ///   - code: the result of the call.
    ///   - blockedMs: how long it took.
    static func unavailable(code: Int32, blockedMs: Int64) -> String {
        if blockedMs >= DiscoveryLimits.callBlockedMs {
            return "Avahi did not answer for \(blockedMs / 1000) s: systemctl restart avahi-daemon"
        }
        if let missing = missingPart() { return missing }
        switch code {
        case DNSServiceCode.noConnection:
            return "the message bus refuses more connections for this user: stop other programs "
                + "that browse, or raise max_connections_per_user in the bus configuration"
        case DNSServiceCode.badParameter:
            return "Avahi refused the announcement (\(code)): check the service type and name"
        default:
            return "Avahi is not running (\(code)): apt install avahi-daemon, "
                + "systemctl start avahi-daemon"
        }
    }

    /// - Parameter actual: the name under which the daemon announced us instead, if it did.
    static func conflict(name: String, actual: String?) -> String {
        let what = "another program announces the name '\(name)'"
        let remedy = "look for a second node with the same home folder, or a copy of it"
        guard let actual else { return "\(what) on this machine: \(remedy)" }
        return "\(what) on this network, and this node goes by '\(actual)': \(remedy)"
    }

    /// The path of the bus's socket, or nil when the address is of another kind.
    private static func busSocket() -> String? {
        guard let raw = getenv("DBUS_SYSTEM_BUS_ADDRESS") else {
            return "/run/dbus/system_bus_socket"
        }
        let prefix = "unix:path="
        let address = String(cString: raw)
        guard address.hasPrefix(prefix), !address.contains(";") else { return nil }
        return String(address.dropFirst(prefix.count).prefix { $0 != "," })
    }
}

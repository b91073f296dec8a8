// What this node tells the local network about itself. It is fixed for the life of a service:
// Avahi's layer cannot change a record that it has announced.

/// One service instance to announce.
package struct ServiceAnnouncement: Sendable, Equatable {
    /// The short node id. Names are unique by nature then, and never need a rename.
    package let instanceName: String
    package let port: UInt16
    package let txt: [String: String]

    /// Checks what DNS-SD can carry.
    ///
    /// - Parameters:
    ///   - instanceName: 1 to 63 bytes without control characters.
    ///   - port: not 0.
    ///   - txt: keys of printable ASCII without `=`; under 400 bytes in all.
    /// - Throws: `DiscoveryError.Code.announcement`, with the field that is wrong.
    package init(
        instanceName: String, port: UInt16, txt: [String: String] = [:]
    ) throws(DiscoveryError) {
        func refuse(_ message: String) -> DiscoveryError {
            DiscoveryError(code: .announcement, message: message)
        }
        guard InstanceName.isUsable(instanceName) else {
            throw refuse(
                "the service name must have 1 to \(DiscoveryLimits.instanceNameBytesMax) bytes "
                    + "and no control characters; use the short node id")
        }
        guard port != 0 else { throw refuse("announce the port that the listener got, not 0") }
        for (key, value) in txt {
            guard TXTRecord.isKey(key) else {
                throw refuse("the TXT key must be printable ASCII without '='")
            }
            guard key.utf8.count + 1 + value.utf8.count <= DiscoveryLimits.txtPairBytesMax else {
                throw refuse(
                    "the TXT pair '\(key)' is over \(DiscoveryLimits.txtPairBytesMax) bytes")
            }
        }
        guard TXTRecord.encode(txt).count < DiscoveryLimits.txtAnnouncedBytesMax else {
            throw refuse(
                "the TXT record must stay under \(DiscoveryLimits.txtAnnouncedBytesMax) bytes; "
                    + "put the rest into the handshake")
        }
        self.instanceName = instanceName
        self.port = port
        self.txt = txt
    }
}

/// The rule for names of instances, ours and those of strangers.
enum InstanceName {
    /// A label of DNS that is safe to print.
    static func isUsable(_ name: String) -> Bool {
        let bytes = name.utf8
        return (1...DiscoveryLimits.instanceNameBytesMax).contains(bytes.count)
            && bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
    }
}

// Every bound of this module in one place: tables, waits and sizes. The network is not trusted, so
// nothing that a stranger can announce grows without one of these.

/// The limits of discovery; the unit is the last word of each name.
package enum DiscoveryLimits {
    /// Instances remembered at a time; strangers that never answered are forgotten first.
    package static let instancesMax = 1024
    /// Interfaces remembered for one instance.
    package static let interfacesPerInstanceMax = 16
    /// Addresses kept from one interface of one instance.
    package static let addressesPerInterfaceMax = 8
    /// A DNS label: the longest instance name (RFC 6763 §4.1.1).
    package static let instanceNameBytesMax = 63
    /// One `key=value` string of a TXT record (RFC 6763 §6.1).
    package static let txtPairBytesMax = 255
    /// What we announce: Avahi registers 2,000 bytes without error and then never resolves them.
    package static let txtAnnouncedBytesMax = 400
    /// What we read of a stranger's TXT record.
    package static let txtReadBytesMax = 2048
    /// Pairs kept of a stranger's TXT record.
    package static let txtPairsMax = 32

    /// Lookups open at a time: each reference is a thread, five descriptors and a bus connection.
    package static let lookupsMax = 4
    /// Lookups waiting for their turn.
    package static let lookupsQueuedMax = 4096
    /// The longest life of one lookup.
    package static let lookupMs: Int64 = 3_000
    /// How long a repeated lookup listens after a cached answer: two queries go out in this time.
    package static let lookupLingerMs: Int64 = 1_500
    /// Addresses of both families arrive within about 12 ms; this long after the last one they
    /// count as complete.
    package static let addressSettleMs: Int64 = 50
    /// First and last pause between lookups of an announced instance that does not answer.
    package static let lookupRetryMsMin: Int64 = 1_000
    package static let lookupRetryMsMax: Int64 = 300_000
    /// Between lookups of the instances that the owner wants and does not reach.
    package static let unreachedLookupMs: Int64 = 10_000
    /// Between fresh browses while some instance is not reached, and while all are. A kept browse
    /// stays silent after a long partition.
    package static let browseUnreachedMs: Int64 = 30_000
    package static let browseIdleMs: Int64 = 300_000
    /// After a fresh browse, an instance not seen again for this long has disappeared.
    package static let browseConfirmMs: Int64 = 10_000

    /// Pause before all references are made again after the daemon or the bus was lost.
    package static let reconnectMsMin: Int64 = 100
    package static let reconnectMsMax: Int64 = 2_000
    /// Pause before a name that another program holds is announced again.
    package static let conflictRetryMsMin: Int64 = 2_000
    package static let conflictRetryMsMax: Int64 = 30_000
    /// A call that took longer met a hung daemon; such a call returns after 25 s.
    package static let callBlockedMs: Int64 = 5_000
    /// How long `stop()` waits for the goodbye to leave.
    package static let stopMs: Int64 = 2_000
    /// Stack of the discovery thread; its frames are shallow.
    package static let threadStackBytes = 512 * 1024
}

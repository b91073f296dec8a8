// The limits of the relay's client, each a named constant with its unit last in the name.
// Relations between them are a test (LimitTests).

/// What the client of a relay sends, takes and waits for at most.
package enum RelayClientLimits {
    // MARK: Sealed entries

    /// A smaller content is padded to this, so that the smallest changes look alike.
    package static let paddedBytesMin = 256
    /// The header of a content: what is needed before its body is unpacked.
    package static let headerBytesMax = 64 << 10
    /// The body of a content before it is packed.
    package static let bodyBytesMax = 64 << 20
    /// A body below this is not packed: Zstandard gains nothing.
    package static let packedBytesMin = 64
    /// After this time a group changes the relay's credential though not every member is known to
    /// have the epoch that it comes of.
    package static let credentialGraceSeconds = 14 * 86_400

    // MARK: Retries

    package static let backoffFirstMilliseconds: Int64 = 1000
    package static let backoffMaxMilliseconds: Int64 = 15 * 60_000
    /// Added to each delay at random.
    package static let jitterMilliseconds: Int64 = 1000
    /// Doublings that a failure of the relay itself (500) is ahead of one of the way to it.
    package static let brokenDoublings = 4
    package static let circuitFailures = 5
    package static let circuitMilliseconds: Int64 = 30 * 60_000
    /// What a relay may ask to wait for; more is taken for this.
    package static let retryAfterMillisecondsMax: Int64 = 24 * 3_600_000
    /// Refusals in a row that are resolved and tried again at once; further ones back off.
    package static let resolveCount = 3
    /// What is kept of an error's text.
    package static let errorTextBytesMax = 300

    // MARK: HTTP

    package static let connectMilliseconds: Int64 = 10_000
    package static let stallMilliseconds: Int64 = 30_000
    /// What a system keeps of what it was given to send (tcp_wmem of Linux), and how slow a line may be that
    /// sends it.
    package static let sendBufferBytesMax = 4 << 20
    package static let bytesPerMillisecondMin = 64
    /// An answer of `sync` has up to 4 MiB of entries, or one entry of any size.
    package static let answerBytesMax = 80 << 20
    package static let snapshotBytesMax = 1 << 30
    package static let answerHeaderBytesMax = 64 << 10
    /// Requests of one client at a time; further ones are refused.
    package static let requestCountMax = 64
    /// Connections that are kept for the next request.
    package static let idleConnectionCountMax = 4
    package static let threadStackBytes = 512 << 10
    /// What the relay keeps a waiting request at most.
    package static let waitSecondsMax = 60
    package static let tokenBytesMax = 512
}

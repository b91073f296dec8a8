// What the operator of a relay can set, as a plain struct; where it comes from is the program's affair.

/// The settings of a relay; `Config/relay.json5` explains each.
package struct RelayConfiguration: Sendable, Equatable {
    /// Where the log is kept.
    package enum Storage: Sendable, Equatable {
        /// A SQLite file of this process alone.
        case file(String)
        /// The URL of a database that speaks PostgreSQL's protocol, for any number of processes.
        case postgreSQL(String)
    }

    package var storage = Storage.file("relay.db")
    package var host = "127.0.0.1"
    package var port: UInt16 = 7879
    /// Groups enrol without a token.
    package var isOpen = false
    /// PEM files; without them the relay speaks plain HTTP.
    package var certificate: String?
    package var key: String?
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    package var proxies: Set<String> = []
    package var quota = Quota()
    package var connections = Connections()
    /// How long what a snapshot covers is kept, and the snapshot before, in seconds.
    package var graceSeconds = 7 * 86_400
    /// How long the keys of entries that were let go are remembered, in seconds.
    package var keySeconds = 90 * 86_400

    package init() {}

    /// What one group may use.
    package struct Quota: Sendable, Equatable {
        /// Entries and snapshots together.
        package var bytes: Int64 = 1 << 30
        /// Entries that are kept.
        package var entries: Int64 = 1_000_000
        /// Requests a second, on average; `burst` of them at once.
        package var requestsPerSecond = 50
        package var burst = 200
        /// The body of one `sync`.
        package var requestBytes = 16 << 20

        package init() {}
    }

    /// What clients may use of the process.
    package struct Connections: Sendable, Equatable {
        package var count = 10_000
        package var perAddress = 2_000
        /// Bodies that are being received, together.
        package var bodyBytes = 256 << 20
        /// A connection has this time for the first line and the headers of its first request.
        package var headerSeconds = 15
        /// How long a connection without a request stays, and how long a peer may be silent in one.
        package var idleSeconds = 60
        /// Bodies and answers that move more slowly are cut, in bytes a second.
        package var bytesPerSecondMin = 1024
        /// Refused credentials and tokens of one address: this many at once, and a tenth of it a second.
        package var failuresPerAddress = 20
        /// Threads that read from and write to connections.
        package var threads = 1

        package init() {}
    }
}

/// What cannot be set, each with its unit last in the name.
package enum RelayLimits {
    /// A waiting reader is answered after this time, if nothing comes.
    package static let waitSecondsMax = 60
    /// Content in one answer; one entry is sent whole, whatever its size.
    package static let answerBytesMax = 4 << 20
    package static let answerEntriesMax = 2048
    /// One piece of a snapshot in the store, and of memory for it.
    package static let pieceBytes = 256 << 10
    /// A body that is refused is received up to this length, so that the client reads the answer.
    package static let refusedBytesMax: Int64 = 64 << 20
    /// A credential and tokens of operators.
    package static let smallBodyBytesMax = 1024
    /// A bigger body is received only of a group that has proved itself.
    package static let strangerBodyBytesMax = 16 << 10
    /// Memory of a connection: for its headers, and for one read of its body.
    package static let connectionBytes = 16 << 10
    /// Requests that a worker of a SQLite store commits together.
    package static let commitCountMax = 256
    /// Work that waits for a worker; more is refused.
    package static let workCountMax = 50_000
    /// Rows that one transaction of the clean-up touches.
    package static let releaseCountMax = 1000
    /// Groups and addresses whose rate is remembered.
    package static let meterCountMax = 100_000
    package static let threadStackBytes = 512 << 10
    /// An upload that was broken off is removed after this time.
    package static let uploadSecondsMax = 3600
}

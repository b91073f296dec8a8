// The settings of a relay, from its file and the command line. Every mistake is named with its line and the
// remedy, as in the configuration of a node.

import Node
import Relay

extension RelayConfiguration {
    /// Reads a JSON5 text; `Config/relay.json5` explains it.
    ///
    /// - Parameters:
    ///   - file: the name of the file in messages.
    ///   - folder: where relative paths start.
    /// - Throws: `badConfiguration`.
    init(json5 bytes: [UInt8], file: String, folder: String) throws(NodeError) {
        self.init()
        let top = try ConfigurationSection(json5: bytes, file: file)
        try top.allow([
            "listen", "store", "postgres", "open", "certificate", "key", "proxies", "quota",
            "connections", "grace_seconds", "key_seconds",
        ])
        if let text = try top.text("listen") { listen(on: try top.address("listen", text)) }
        let (store, url) = (try top.text("store"), try top.text("postgres"))
        guard store == nil || url == nil else {
            throw top.failure("postgres", "\"store\" and \"postgres\": a relay has one of them")
        }
        storage = .file(Path.absolute(store ?? "relay.db", in: folder))
        if let url { storage = .postgreSQL(url) }
        isOpen = try top.flag("open") ?? isOpen
        certificate = try top.text("certificate").map { Path.absolute($0, in: folder) }
        key = try top.text("key").map { Path.absolute($0, in: folder) }
        guard (certificate == nil) == (key == nil) else {
            throw top.failure("certificate", "a \"certificate\" goes with its \"key\"")
        }
        proxies = Set(try top.texts("proxies") ?? [])
        graceSeconds = try top.number("grace_seconds", 0...Self.secondsMax) ?? graceSeconds
        keySeconds = try top.number("key_seconds", 0...Self.secondsMax) ?? keySeconds
        if let section = try top.section("quota") { try quota.read(section) }
        if let section = try top.section("connections") { try connections.read(section) }
    }

    /// Ten years.
    private static let secondsMax = 315_360_000

    mutating func listen(on address: HostPort) {
        // "[::]" is every interface; the system's name for it is the address itself.
        (host, port) = (address.host, address.port)
    }
}

extension RelayConfiguration.Quota {
    fileprivate mutating func read(_ section: ConfigurationSection) throws(NodeError) {
        try section.allow(["bytes", "entries", "requests_per_second", "burst", "request_bytes"])
        bytes = Int64(try section.number("bytes", 1...(1 << 50)) ?? Int(bytes))
        entries = Int64(try section.number("entries", 1...(1 << 40)) ?? Int(entries))
        requestsPerSecond =
            try section.number("requests_per_second", 1...1_000_000) ?? requestsPerSecond
        burst = try section.number("burst", 1...1_000_000) ?? burst
        requestBytes = try section.number("request_bytes", 1024...(256 << 20)) ?? requestBytes
    }
}

extension RelayConfiguration.Connections {
    fileprivate mutating func read(_ section: ConfigurationSection) throws(NodeError) {
        try section.allow([
            "count", "per_address", "body_bytes", "header_seconds", "idle_seconds",
            "bytes_per_second_min", "failures_per_address", "threads",
        ])
        count = try section.number("count", 1...1_000_000) ?? count
        perAddress = try section.number("per_address", 1...1_000_000) ?? perAddress
        bodyBytes = try section.number("body_bytes", 1 << 20...(1 << 40)) ?? bodyBytes
        headerSeconds = try section.number("header_seconds", 1...600) ?? headerSeconds
        idleSeconds = try section.number("idle_seconds", 2...3600) ?? idleSeconds
        bytesPerSecondMin =
            try section.number("bytes_per_second_min", 1...1_000_000) ?? bytesPerSecondMin
        failuresPerAddress =
            try section.number("failures_per_address", 1...1_000_000) ?? failuresPerAddress
        threads = try section.number("threads", 1...64) ?? threads
    }
}

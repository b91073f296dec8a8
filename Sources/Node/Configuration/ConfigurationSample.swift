// The commented settings that `starling init` writes. `Config/starling.json5` is the same text with
// the default database; a test keeps the two together.

extension Configuration {
    /// Every setting with its default and its explanation, as JSON5.
    package static func sample(database: String) -> String {
        """
        // Settings of a Starling node, read when it starts. JSON5: comments and trailing commas are
        // welcome. Every key may be left out; what stands here are the defaults.
        {
            // What others call this node. null: the name given to `starling init`.
            name: null,

            // The SQLite file whose tables are kept the same. A relative path starts in the home
            // folder. One file belongs to one node.
            db: \(JSONValue.string(database).text),

            // Where to listen for peers: HOST:PORT. [::] is every interface, IPv4 included. When
            // the default port 7878 is taken, any free port serves; discovery tells the others.
            // Port 0 asks for any free port.
            listen: "[::]:7878",

            // Peers to dial always, for networks without discovery: ["192.168.1.20:7878"].
            // [fe80::1%eth0]:7878 is how an IPv6 address is written. The port may be left out.
            peers: [],

            // Announce this node on the local network by DNS-SD (Avahi) and look for others.
            discovery: true,

            sync: {
                // How often to compare with each peer when nothing else gives a reason: 1 to 86400.
                interval_seconds: 30,
                // How many times a second a peer is sent new changes, at most: 1 to 10000.
                rounds_per_second: 500,
            },

            // The group's relay, as `starling relay join` set it, and when this node uses it.
            relay: {
                // Whether this node talks to the relay at all. false: it syncs on its own networks only.
                forward: true,
                // Certificates to check the relay's against, in place of the system's: a PEM file.
                ca: null,
                priority: [], // tables whose changes leave first when much waits
                conditions: {
                    // false: not over mobile networks, nor over the interfaces named below.
                    metered: true,
                    // Names of interfaces that cost money; * and ? stand for any letters: ["usb*"].
                    metered_interfaces: [],
                    // On battery, not below so many percent: 0 to 100. null: always.
                    battery_percent: null,
                    // Only at these times of day: ["22:00-06:30"]. Empty: always.
                    hours: [],
                },
            },

            // Tables that each node computes for itself from synced ones, rebuilt after changes
            // have arrived, those in `after` first:
            //     {
            //         name: "totals", from: ["jobs"], after: [],
            //         rebuild: "DELETE FROM totals; \\
            //             INSERT INTO totals SELECT customer, sum(hours) FROM jobs GROUP BY 1",
            //     },
            derived: [],

            // What is logged: "debug", "info", "warning" or "error".
            log: "info",

            limits: {
                // Connections at the same time, in both directions together: 1 to 4096.
                connections: 64,
            },
        }

        """
    }
}

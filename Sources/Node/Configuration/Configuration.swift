// The settings of a node, from `config.json5` in its home folder. Every setting has a default,
// every mistake is named with its line and the remedy, and nothing unknown is passed over.

/// What a person can set. The commented text of all of it: `Configuration.sample`.
package struct Configuration: Sendable, Equatable {
    /// What others call this node; nil keeps the name given to `starling init`.
    package var name: String?
    /// The database; relative paths start in the home folder.
    package var database = "data.db"
    /// Where the node listens. When it is the default port and that is taken, any free port
    /// serves; another port is never replaced.
    package var listen = HostPort(host: "::", port: HostPort.portDefault)
    /// Addresses to dial always, beside what discovery finds.
    package var peers: [HostPort] = []
    /// Whether to announce this node and to look for others on the local network.
    package var discovery = true
    package var sync = Sync()
    package var relay = Relay()
    /// In the order of the file; `derivedInOrder` is the order in which to rebuild.
    package var derived: [DerivedTable] = []
    package var log = LogLevel.info
    package var limits = Limits()

    /// The largest file that is read.
    package static let fileBytesMax = 1 << 18

    package init() {}

    /// When to exchange with peers.
    package struct Sync: Sendable, Equatable {
        /// How often to look for differences when nothing else gives a reason, in seconds.
        package var intervalSeconds = 30
        /// How many times a second a peer is sent new changes, at most.
        package var roundsPerSecond = 500
    }

    package struct Limits: Sendable, Equatable {
        /// Connections held at the same time, in both directions together.
        package var connections = 64
    }

    /// What is written to the log; each level includes those after it.
    package enum LogLevel: String, Sendable, CaseIterable {
        case debug, info, warning, error
    }

    /// A table that is computed from synced tables on every node, and not synced itself.
    package struct DerivedTable: Sendable, Equatable {
        package var name: String
        /// The synced tables whose changes make it out of date.
        package var from: [String]
        /// SQL that fills it anew, run in one transaction.
        package var rebuild: String
        /// Derived tables that have to be rebuilt before it.
        package var after: [String]

        package init(name: String, from: [String], rebuild: String, after: [String]) {
            self.name = name
            self.from = from
            self.rebuild = rebuild
            self.after = after
        }
    }

    /// The derived tables, each behind those that it names in `after`; otherwise in the order
    /// of the file. The reader has made sure that there is such an order. O(tables²).
    package var derivedInOrder: [DerivedTable] {
        var done: Set<String> = []
        var rest = derived
        var ordered: [DerivedTable] = []
        while let index = rest.firstIndex(where: { done.isSuperset(of: $0.after) }) {
            let table = rest.remove(at: index)
            done.insert(table.name)
            ordered.append(table)
        }
        return ordered
    }
}

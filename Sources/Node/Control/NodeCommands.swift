// What the `starling` command needs from the rest of the program, as closures: the command line
// knows these six and the control socket, and nothing else of a node.

/// The six doors into the node. Each blocks until its work is done.
package struct NodeCommands {
    /// Makes the home folder and opens the database once.
    /// Returns `{"node","group","origin","db","name","home"}`.
    package var initialize: (InitializeOptions) throws -> JSONValue
    /// Pairs with the node that made an invitation, or with one that is open to be asked, and makes the
    /// home folder; calls `say` for each step.
    /// Returns what `initialize` returns, and `role`, `inviter`, `fingerprint`.
    package var join: (JoinOptions, _ say: @escaping (JoinStep) -> Void) throws -> JSONValue
    /// Runs the node in the foreground until SIGINT or SIGTERM; owns the process's signals.
    package var run: (RunOptions) throws -> Void
    /// A handler for a home folder on which no node runs. It takes the home's lock when it
    /// writes, and refuses with `notRunning` the commands that need the network.
    package var offline: (Home) throws -> any CommandHandler
    /// Shows three nodes on this machine; calls `say` for each line of the story.
    /// Returns what it found, for `--json`.
    package var demo: (_ say: (String) -> Void) throws -> JSONValue
    /// Measures; calls `progress` with the event of `Facts.md` as it goes. Returns the table.
    package var bench: (BenchOptions, _ progress: (JSONValue) -> Void) throws -> JSONValue

    package init(
        initialize: @escaping (InitializeOptions) throws -> JSONValue,
        join: @escaping (JoinOptions, _ say: @escaping (JoinStep) -> Void) throws -> JSONValue,
        run: @escaping (RunOptions) throws -> Void,
        offline: @escaping (Home) throws -> any CommandHandler,
        demo: @escaping (_ say: (String) -> Void) throws -> JSONValue,
        bench: @escaping (BenchOptions, _ progress: (JSONValue) -> Void) throws -> JSONValue
    ) {
        self.initialize = initialize
        self.join = join
        self.run = run
        self.offline = offline
        self.demo = demo
        self.bench = bench
    }
}

/// `starling init`.
package struct InitializeOptions: Sendable, Equatable {
    package var home: Home
    /// Absolute; nil is `data.db` in the home folder.
    package var database: String?
    /// nil is the machine's name.
    package var name: String?
    /// nil makes a new group.
    package var group: String?

    package init(home: Home, database: String?, name: String?, group: String?) {
        self.home = home
        self.database = database
        self.name = name
        self.group = group
    }
}

/// `starling run`: what the command line says on top of the configuration.
package struct RunOptions: Sendable, Equatable {
    package var home: Home
    /// Replaces the configured address; no other port is tried in its place.
    package var listen: HostPort?
    /// Added to the configured peers.
    package var peers: [HostPort]
    /// False for `--no-discovery`; nil keeps what the configuration says.
    package var discovery: Bool?

    package init(home: Home, listen: HostPort?, peers: [HostPort], discovery: Bool?) {
        self.home = home
        self.listen = listen
        self.peers = peers
        self.discovery = discovery
    }
}

/// `starling bench`.
package struct BenchOptions: Sendable, Equatable {
    package static let rowsDefault = 100_000
    package var rows: Int

    package init(rows: Int = Self.rowsDefault) { self.rows = rows }
}

// The home folder: everything of one node that is not in the app's database. Who the node is, how
// it is configured, where its control socket stands, and the lock that keeps a second node away.

internal import Trust

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One home folder is one node.
///
/// | file | what it holds |
/// |---|---|
/// | `key` | the node's secret key, its user's alone |
/// | `identity.json` | node, name, group, when it was made; written when it is made and when it joins |
/// | `introducer.json` | whom a newcomer believes until it has the table of members |
/// | `invitations.json` | the invitations that this node gave, without their secrets |
/// | `config.json5` | the settings, for a person to edit |
/// | `marker` | what proves that the database was not copied or restored; kept by the store |
/// | `peers.json` | last-known addresses; may be lost |
/// | `control.sock` | the running node's control socket |
/// | `lock` | held by the running node |
/// | `data.db` | the database, unless the configuration names another |
package struct Home: Sendable, Equatable {
    /// Absolute.
    package let path: String

    package init(path: String) { self.path = path }

    package var identityPath: String { "\(path)/identity.json" }
    package var configurationPath: String { "\(path)/config.json5" }
    package var markerPath: String { "\(path)/marker" }
    package var peersPath: String { "\(path)/peers.json" }
    package var socketPath: String { "\(path)/control.sock" }
    package var lockPath: String { "\(path)/lock" }

    /// The folder that a person means: `--home`, else `STARLING_HOME`, else `starling` in the
    /// XDG data folder.
    ///
    /// - Throws: `badHome` when neither those nor `HOME` are set.
    package static func locate(
        _ option: String?, environment: (String) -> String?,
        currentFolder: String = Path.currentFolder()
    ) throws(NodeError) -> Home {
        func set(_ name: String) -> String? {
            environment(name).flatMap { $0.isEmpty ? nil : $0 }
        }
        if let named = option ?? set("STARLING_HOME") {
            return Home(path: Path.absolute(named, in: currentFolder))
        }
        // The XDG specification says to ignore relative paths.
        if let data = set("XDG_DATA_HOME"), data.hasPrefix("/") {
            return Home(path: Path.absolute("starling", in: data))
        }
        guard let user = set("HOME") else {
            throw NodeError(
                .badHome, "cannot tell where the home folder is: HOME is not set; use --home DIR")
        }
        return Home(path: Path.absolute("\(user)/.local/share/starling", in: currentFolder))
    }

    /// Makes a home folder with a new identity and a commented configuration.
    ///
    /// A folder that exists is used when no node lives in it, and its key with it. Of two processes that
    /// do this at once, one is refused.
    ///
    /// - Throws: `refused` when a node lives there already, `usage` for a bad group or name,
    ///   `badHome` when the folder cannot be written.
    package static func create(
        _ home: Home, database: String?, name: String?, group: String?, nowMilliseconds: Int64
    ) throws(NodeError) -> Identity {
        let name = try Identity.checkedName(name ?? Identity.machineName())
        let group = try group.map(Identity.checkedGroup) ?? Identity.randomID()
        guard !Path.exists(home.identityPath) else { throw home.taken }
        let identity: Identity
        do {
            try Path.makeFolder(home.path)
            identity = Identity(
                node: try home.makeKey().publicKey.node, name: name, group: group,
                createdMilliseconds: nowMilliseconds)
            if !Path.exists(home.configurationPath) {
                let sample = Configuration.sample(database: database ?? Configuration().database)
                try AtomicFile.replace(home.configurationPath, with: Array(sample.utf8))
            } else if database != nil {
                throw NodeError(
                    .refused,
                    "\(home.configurationPath) exists and names its own database; "
                        + "leave --db out or remove that file")
            }
            // Left behind by a node that was not finished.
            _ = Path.remove(home.introducerPath)
            try AtomicFile.create(home.identityPath, with: identity.content)
        } catch let error as SystemError {
            if error.number == EEXIST { throw home.taken }
            throw NodeError(
                .badHome, error.explain("cannot make the home folder \(home.path)"), cause: error)
        } catch let error as NodeError {
            throw error
        } catch {
            throw NodeError(.badHome, "cannot make the home folder \(home.path)", cause: error)
        }
        return identity
    }

    private var taken: NodeError {
        NodeError(
            .refused,
            "a node lives in \(path) already; look at it with `starling status`, or make another "
                + "with `starling init --home DIR`")
    }

    /// Who the node of this folder is.
    ///
    /// - Throws: `badHome` when there is none or its file is damaged.
    package func identity() throws(NodeError) -> Identity {
        let content: [UInt8]
        do { content = try AtomicFile.read(identityPath, bytesMax: 1 << 16) } catch {
            if error.number == ENOENT || error.number == ENOTDIR {
                throw NodeError(
                    .badHome,
                    "there is no node in \(path): make one with `starling init`, or name its "
                        + "folder with --home DIR")
            }
            throw NodeError(.badHome, error.explain("cannot read \(identityPath)"), cause: error)
        }
        guard let identity = Identity(content: content) else {
            throw NodeError(
                .badHome,
                "\(identityPath) is damaged: restore it from a copy, or make a new home folder "
                    + "for the same database with `starling init --home DIR --db FILE`")
        }
        return identity
    }

    /// The settings; the defaults when the file is missing.
    ///
    /// - Throws: `badConfiguration` with the line and the remedy.
    package func configuration() throws(NodeError) -> Configuration {
        let content: [UInt8]
        do {
            content = try AtomicFile.read(
                configurationPath, bytesMax: Configuration.fileBytesMax + 1)
        } catch {
            if error.number == ENOENT { return Configuration() }
            throw NodeError(
                .badConfiguration, error.explain("cannot read \(configurationPath)"), cause: error)
        }
        return try Configuration(json5: content, file: Path.name(of: configurationPath))
    }

    /// Where the database is: absolute, links followed as far as they lead.
    package func databasePath(_ configuration: Configuration) -> String {
        let path = Path.absolute(configuration.database, in: path)
        return Path.resolved(path) ?? path
    }
}

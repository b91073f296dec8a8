// A node inside a Swift program: made, started, asked and stopped. The program goes on using SQLite
// as it likes; nothing here stands between it and its file.

internal import Node

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A failure with its remedy. `code` is a stable name, `message` is safe to show.
public struct StarlingError: Error, Sendable, CustomStringConvertible {
    public var code: String
    public var message: String
    public var description: String { message }

    fileprivate init(_ error: any Error) {
        let known = ControlError(error)
        code = known.code
        message = known.message
    }
}

/// One node, which keeps tables of one SQLite file the same as on other machines.
///
/// It runs on a thread of its own. It is not a database layer: open the file with any SQLite
/// library and write plain SQL.
public final class StarlingNode: Sendable {
    private let home: Home
    private let thread: NodeThread

    /// Makes the home folder of a new node and opens its database once.
    ///
    /// - Parameters:
    ///   - home: a folder that holds no node yet.
    ///   - database: the SQLite file; nil for `data.db` in the home folder.
    ///   - name: what people call the node; nil for the machine's name.
    /// - Returns: the fingerprint of its key, as other members see it.
    /// - Throws: ``StarlingError``.
    @discardableResult
    public static func create(home: String, database: String? = nil, name: String? = nil) throws
        -> String
    {
        do {
            let folder = Path.currentFolder()
            let result = try NodeCommands.initialize(
                InitializeOptions(
                    home: Home(path: Path.absolute(home, in: folder)),
                    database: database.map { Path.absolute($0, in: folder) }, name: name,
                    group: nil))
            return result["fingerprint"]?.string ?? ""
        } catch { throw StarlingError(error) }
    }

    /// Becomes a member of the group of the node that made `invitation`, and makes the home folder, or
    /// takes that of a node that is alone. Blocks for some seconds; the other node must run.
    ///
    /// - Parameters:
    ///   - invitation: what ``invite(name:isReader:seconds:)`` or `starling invite` returned there.
    ///   - database: the SQLite file; nil for `data.db` in the home folder.
    ///   - name: what people call the node; nil for what the invitation says.
    ///   - discovery: whether to look on the local network, too.
    /// - Returns: the fingerprint of this node's key.
    /// - Throws: ``StarlingError`` that says what is wrong with the invitation, or that nobody was found.
    @discardableResult
    public static func join(
        home: String, invitation: String, database: String? = nil, name: String? = nil,
        discovery: Bool = true
    ) throws -> String {
        do {
            let folder = Path.currentFolder()
            let result = try NodeCommands.join(
                JoinOptions(
                    home: Home(path: Path.absolute(home, in: folder)), invitation: invitation,
                    database: database.map { Path.absolute($0, in: folder) }, name: name,
                    discovery: discovery), say: { _ in })
            return result["fingerprint"]?.string ?? ""
        } catch { throw StarlingError(error) }
    }

    /// A node whose home folder exists.
    ///
    /// - Parameters:
    ///   - peers: addresses to dial always, as `host:port`.
    ///   - listen: where to listen, as `host:port`; nil for what the configuration says.
    ///   - discovery: whether to find and be found on the local network; nil for the configuration.
    /// - Throws: ``StarlingError`` when an address cannot be understood.
    public init(
        home: String, listen: String? = nil, peers: [String] = [], discovery: Bool? = nil
    ) throws {
        self.home = Home(path: Path.absolute(home, in: Path.currentFolder()))
        func address(_ text: String) throws -> HostPort {
            guard let address = HostPort(text) else {
                throw StarlingError(NodeError(.usage, "\(text) is not an address like host:7878"))
            }
            return address
        }
        thread = NodeThread(
            RunOptions(
                home: self.home, listen: try listen.map(address), peers: try peers.map(address),
                discovery: discovery))
    }

    /// Starts the node; returns when it runs.
    ///
    /// - Throws: ``StarlingError``, as when another node has the file.
    public func start() throws {
        do { try thread.start() } catch { throw StarlingError(error) }
    }

    /// Stops the node; returns when its file is left, everything on disk.
    public func stop() throws {
        do { try thread.stop() } catch { throw StarlingError(error) }
    }

    /// Starts syncing tables of the file.
    ///
    /// - Throws: ``StarlingError`` when one of them cannot be synced, with the reason.
    public func track(_ tables: [String]) throws {
        let arguments: JSONObject = [
            "tables": .array(tables.map { .string($0) }), "all": false, "delete_wins": false,
        ]
        let result = try call("track", arguments)
        let refused = (result["tables"]?.array ?? []).compactMap { $0["error"]?.string }
        if !refused.isEmpty {
            throw StarlingError(NodeError(.failed, refused.joined(separator: "; ")))
        }
    }

    /// Makes an invitation for one machine; the node must run, here and when the invitation is used.
    ///
    /// - Parameters:
    ///   - name: what the newcomer is called, unless it says itself.
    ///   - isReader: nothing is taken from the newcomer.
    ///   - seconds: how long it can be used; seven days at the most.
    /// - Returns: one line; whoever has it is let in, once.
    /// - Throws: ``StarlingError``.
    public func invite(name: String? = nil, isReader: Bool = false, seconds: Int = 600) throws
        -> String
    {
        let arguments: JSONObject = [
            "name": JSONValue(optional: name), "reader": .bool(isReader),
            "ttl_ms": .int(Int64(seconds) * 1000),
        ]
        return try call("invite", arguments)["invitation"]?.string ?? ""
    }

    /// Asks the running node what the command `starling` would ask.
    ///
    /// - Parameters:
    ///   - command: such as `status`, `conflicts`, `records`.
    ///   - arguments: a JSON object, as the page "Facts" says for each command.
    /// - Returns: the result, one JSON object.
    /// - Throws: ``StarlingError``.
    public func ask(_ command: String, arguments: String = "{}") throws -> String {
        do {
            guard let object = try JSONValue(parsing: Array(arguments.utf8)).object else {
                throw NodeError(.usage, "the arguments are a JSON object")
            }
            return try call(command, object).text
        } catch let error as StarlingError {
            throw error
        } catch { throw StarlingError(error) }
    }

    private func call(_ command: String, _ arguments: JSONObject) throws -> JSONValue {
        do {
            return try ControlClient(home: home).call(
                ControlRequest(command: command, arguments: arguments),
                silenceMilliseconds: nil, onEvent: { _ in })
        } catch { throw StarlingError(error) }
    }
}

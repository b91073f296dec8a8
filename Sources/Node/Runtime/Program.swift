// The doors of the command line into the node.

internal import CausalModel
internal import Store

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension NodeCommands {
    /// `starling init`: the home folder, then the database opened once.
    package static func initialize(_ options: InitializeOptions) throws -> JSONValue {
        let identity = try Home.create(
            options.home, database: options.database, name: options.name, group: options.group,
            nowMilliseconds: WallClock.milliseconds())
        do {
            let context = try NodeContext(home: options.home, pid: getpid())
            try context.close()
            return [
                "node": .string(identity.node), "group": .string(identity.group),
                "origin": .string(context.replica.origin.hex),
                "db": .string(context.replica.path), "name": .string(identity.name),
                "home": .string(options.home.path),
            ]
        } catch {
            // A home whose database cannot be opened is no node; a second try starts clean.
            _ = unlink(options.home.identityPath)
            _ = unlink(options.home.configurationPath)
            _ = unlink(options.home.markerPath)
            throw error
        }
    }

    /// `starling run`.
    package static func run(_ options: RunOptions) throws {
        let context = try NodeContext(home: options.home, pid: getpid())
        try NodeService(context: context, options: options).run()
    }

    package static func offline(_ home: Home) throws -> any CommandHandler {
        try OfflineHandler(home: home, pid: getpid())
    }
}

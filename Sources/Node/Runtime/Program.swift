// The doors of the command line into the node.

internal import CausalModel
internal import Store
internal import Trust

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
                "fingerprint": .string(context.members.own.fingerprint),
            ]
        } catch {
            // A home whose database cannot be opened is no node; a second try starts clean.
            undoInitialize(options.home)
            throw error
        }
    }

    /// Takes back what `initialize` made, apart from the key and the database.
    static func undoInitialize(_ home: Home) {
        for path in [home.identityPath, home.configurationPath, home.markerPath] {
            _ = unlink(path)
        }
    }

    /// `starling run`.
    package static func run(_ options: RunOptions) throws {
        let context = try openPatiently(options.home)
        try NodeService(context: context, options: options).run()
    }

    /// How long a command that reads the file, such as `status`, may hold up the start.
    private static let startMillisecondsMax: Int64 = 10_000
    private static let pauseMicroseconds: useconds_t = 20_000

    /// Waits for the locks while a command has them; a node that has them refuses this one.
    private static func openPatiently(_ home: Home) throws -> NodeContext {
        let deadline = MonotonicClock.milliseconds() + startMillisecondsMax
        while true {
            do { return try NodeContext(home: home, pid: getpid()) } catch let error as NodeError
                where error.code == .refused
            {
                guard MonotonicClock.milliseconds() < deadline, !isHeldByNode(home) else {
                    throw error
                }
            }
            _ = usleep(pauseMicroseconds)
        }
    }

    /// Whether a node answers in the home folder of whoever holds one of the two locks.
    private static func isHeldByNode(_ home: Home) -> Bool {
        let database = (try? home.configuration()).map { home.databasePath($0) }
        let locks = [home.lockPath] + (database.map { [Home.databaseLockPath($0)] } ?? [])
        return locks.contains { path in
            let state = FileLock.holder(of: path)
            guard state.isHeld else { return false }
            let holder = state.holder.map { Home(path: $0.home) } ?? home
            return (try? ControlClient(home: holder, timeoutMilliseconds: 500)) != nil
        }
    }

    package static func offline(_ home: Home) throws -> any CommandHandler {
        try OfflineHandler(home: home, pid: getpid())
    }
}

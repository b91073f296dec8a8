// Derived tables: computed from synced ones on every node, rebuilt after changes of peers were
// joined.

internal import Store

/// Which derived tables are out of date, and their rebuilding in dependency order.
struct DerivedTables {
    private let tables: [Configuration.DerivedTable]
    private var isDue: Bool

    init(_ tables: [Configuration.DerivedTable]) {
        self.tables = tables
        // What happened since the last run is not known.
        isDue = !tables.isEmpty
    }

    mutating func noteChange() { isDue = !tables.isEmpty }

    /// Rebuilds all of them, those others depend on first. One that fails is named and does not
    /// stop the others; they are due again at the next change.
    mutating func rebuildIfDue(_ replica: Replica, log: Log) throws {
        guard isDue else { return }
        isDue = false
        for table in tables {
            do { try replica.rebuildDerived(table.rebuild) } catch let error as StoreError {
                if error.isRetryable {
                    isDue = true
                    return
                }
                log.error("cannot rebuild \(table.name): \(error)")
            }
        }
    }
}

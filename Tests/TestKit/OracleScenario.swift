// Short words for directed scenarios: the histories that random runs find too seldom.

package import CausalModel

extension OracleStep {
    package static func insert(
        _ replica: Int, row: Int = 0, value: Int = 0, at stamp: UInt64 = 1
    ) -> OracleStep {
        .write(
            replica: replica, row: row, .insert, columns: 0, value: value, stamp: Stamp(raw: stamp))
    }

    package static func insertBeside(
        _ replica: Int, row: Int = 0, value: Int = 0, at stamp: UInt64 = 1
    ) -> OracleStep {
        .write(
            replica: replica, row: row, .insertBeside, columns: 0, value: value,
            stamp: Stamp(raw: stamp))
    }

    /// Column n gets the value (`value` + n) modulo 4.
    package static func update(
        _ replica: Int, row: Int = 0, columns: ColumnMask = 1, value: Int = 0, at stamp: UInt64 = 1
    ) -> OracleStep {
        .write(
            replica: replica, row: row, .update, columns: columns, value: value,
            stamp: Stamp(raw: stamp))
    }

    package static func delete(_ replica: Int, row: Int = 0, at stamp: UInt64 = 1) -> OracleStep {
        .write(
            replica: replica, row: row, .delete, columns: 0, value: 0, stamp: Stamp(raw: stamp))
    }

    package static func erase(_ replica: Int, row: Int = 0, at stamp: UInt64 = 1) -> OracleStep {
        .write(replica: replica, row: row, .erase, columns: 0, value: 0, stamp: Stamp(raw: stamp))
    }

    package static func sync(_ from: Int, _ to: Int) -> OracleStep { .sync(from: from, to: to) }

    package static func open(_ from: Int, _ to: Int) -> OracleStep {
        .open(from: from, to: to, base: to)
    }

    package static func chunk(_ from: Int, _ to: Int) -> OracleStep { .chunk(from: from, to: to) }

    package static func end(_ from: Int, _ to: Int) -> OracleStep { .end(from: from, to: to) }

    package static func join(_ sponsor: Int, _ newcomer: Int) -> OracleStep {
        .join(sponsor: sponsor, newcomer: newcomer)
    }

    package static func remove(_ remover: Int, _ member: Int) -> OracleStep {
        .remove(by: remover, member: member)
    }

    package static func cut(_ from: Int, _ to: Int) -> OracleStep { .cut(from: from, to: to) }
}

extension OracleCluster {
    /// A cluster after `steps`, each of which must have been possible and in order.
    ///
    /// - Throws: ``OracleFailure`` for the oracle's objection, or for a step that could not happen.
    package static func after(
        _ steps: [OracleStep], _ shape: Shape = Shape()
    ) throws -> OracleCluster {
        var cluster = OracleCluster(shape)
        for (place, step) in steps.enumerated() {
            let happened = cluster.perform(step)
            if let failure = cluster.failure { throw failure }
            guard happened else { throw OracleFailure("step \(place), \(step), cannot happen") }
            for replica in 0..<shape.replicas {
                if let failure = cluster.contextFailure(replica) { throw failure }
            }
        }
        return cluster
    }

    package func kernel(_ replica: Int, row: Int = 0) -> Kernel {
        replicas[replica].rows[row].kernel
    }

    /// The same cluster with everything let through.
    package func healed() throws -> OracleCluster {
        var cluster = self
        cluster.heal()
        if let failure = cluster.failure { throw failure }
        return cluster
    }
}

// A scenario with whole nodes, for a rule that the order of their steps keeps from mattering in a random run.

import Store
import Sync
import TestKit
import TestNetwork

extension Directed {
    /// A member serves a copy that does not say that its receiver has joined: the others would collect
    /// without counting that one. It is not to take part by such a copy.
    static func copyWithoutJoining() throws -> [String] {
        var options = Options()
        options.seed = 1
        options.nodes = 2
        options.without = Set(Fault.allCases)
        options.keepsMembers = true
        let simulation = try Simulation(options)
        let members = simulation.machines
        guard let server = members.first(where: { $0 === simulation.founder }),
            let newcomer = members.first(where: { $0 !== server })
        else { return ["there is no founder"] }
        // It believes that it has written down who joined, and has not.
        server.node.engine.noteJoined = { _, _, _ in }
        server.node.engine.membership = { [unowned server, unowned newcomer] in
            var known = server.lookAtMembers()
            known?.origins?[newcomer.name] = newcomer.replica?.origin
            return known
        }
        simulation.network.run(for: 2_000)
        newcomer.enterNode()
        guard simulation.counts.joins > 0 || newcomer.replica?.isJoining == false else {
            return ["no copy came"]
        }
        return newcomer.replica?.isJoining == true
            ? [] : ["a newcomer takes part whose copy does not say that it has joined"]
    }
}

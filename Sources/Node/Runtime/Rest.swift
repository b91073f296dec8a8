// What a node gives back when nothing happens: other programs of the machine need it more.

import CPlatform
internal import Store
internal import Sync

/// When a node has become quiet.
struct Rest {
    private var looks: Int?
    private var isResting = false

    /// True once, at the second of two calls between which nothing was read, received or sent.
    ///
    /// - Parameters:
    ///   - looks: how often the replica was looked at, which every change is a reason for.
    ///   - isMoving: rows are under way now.
    mutating func isDue(looks: Int, isMoving: Bool) -> Bool {
        guard looks == self.looks, !isMoving else {
            self.looks = looks
            isResting = false
            return false
        }
        defer { isResting = true }
        return !isResting
    }
}

extension NodeService {
    /// Frees the caches of the store, and returns what is free to the system. Takes a millisecond; what the
    /// node needs next it reads again.
    func restIfQuiet() {
        guard rest.isDue(looks: engine.looks, isMoving: engine.isTransferring) else { return }
        context.replica.releaseMemory()
        // Inside another program the heap is that program's.
        if onReady == nil { starling_trim_memory() }
    }
}

// How long to wait before the next try: one rule for peers on the network and for relays.

/// Exponential back-off: the first delay, twice as long after each further failure, up to a longest one. The
/// caller adds the jitter, so that this is a plain function.
package struct Backoff: Hashable, Sendable {
    package var firstMilliseconds: Int64
    package var maxMilliseconds: Int64

    package init(firstMilliseconds: Int64, maxMilliseconds: Int64) {
        self.firstMilliseconds = firstMilliseconds
        self.maxMilliseconds = maxMilliseconds
    }

    /// min(longest, first × 2^doublings).
    package func milliseconds(doublings: Int) -> Int64 {
        // More than 40 doublings of a millisecond are longer than anybody waits.
        min(maxMilliseconds, firstMilliseconds << Int64(min(max(0, doublings), 40)))
    }
}

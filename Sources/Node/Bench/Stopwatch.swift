// Time and its statistics for the bench: a steady clock in nanoseconds, medians and percentiles.
// The bench is the one part of the program that measures, so it reads the clock itself.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

enum Stopwatch {
    /// Nanoseconds of the steady clock.
    static func now() -> Int64 {
        var now = timespec()
        _ = clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
    }

    /// Seconds that `body` takes.
    static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = now()
        try body()
        return Double(now() - start) / 1e9
    }

    static func sleep(milliseconds: Int) { sleep(microseconds: 1000 * milliseconds) }
    static func sleep(microseconds: Int) { _ = usleep(UInt32(microseconds)) }
}

extension [Double] {
    /// The middle value; 0 of nothing.
    var median: Double { percentile(0.5) }

    /// The value that this part of all values does not exceed (nearest rank); 0 of nothing.
    func percentile(_ part: Double) -> Double {
        guard !isEmpty else { return 0 }
        let sorted = sorted()
        let rank = Int((part * Double(count)).rounded(.up)) - 1
        return sorted[Swift.max(0, Swift.min(count - 1, rank))]
    }
}

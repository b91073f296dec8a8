// Rates: how often a group may ask, and how often an address may be wrong.

internal import Synchronization

/// Token buckets by key: `burst` at once, `perSecond` on average. Memory is bounded: when there are too many
/// keys, those that are full, and with them know nothing, are forgotten, and all when none is.
final class Meters<Key: Hashable & Sendable>: Sendable {
    private struct Bucket {
        var level: Double
        var moment: Int64
    }

    private let perSecond: Double
    private let burst: Double
    private let buckets = Mutex<[Key: Bucket]>([:])

    init(perSecond: Double, burst: Int) {
        self.perSecond = perSecond
        self.burst = Double(burst)
    }

    /// Takes one from the bucket.
    ///
    /// - Parameter moment: milliseconds of the monotonic clock.
    /// - Returns: nil, or after how many seconds there will be one.
    func take(_ key: Key, at moment: Int64) -> Int? {
        buckets.withLock { all in
            var bucket = filled(all[key], moment)
            guard bucket.level >= 1 else { return waitSeconds(bucket) }
            bucket.level -= 1
            if all[key] == nil, all.count >= RelayLimits.meterCountMax { makeRoom(&all, moment) }
            all[key] = bucket
            return nil
        }
    }

    /// The same without taking anything.
    func refusal(_ key: Key, at moment: Int64) -> Int? {
        buckets.withLock { all in
            let bucket = filled(all[key], moment)
            return bucket.level >= 1 ? nil : waitSeconds(bucket)
        }
    }

    private func filled(_ bucket: Bucket?, _ moment: Int64) -> Bucket {
        guard let bucket else { return Bucket(level: burst, moment: moment) }
        let passed = Double(max(0, moment - bucket.moment)) / 1000
        return Bucket(level: min(burst, bucket.level + passed * perSecond), moment: moment)
    }

    private func waitSeconds(_ bucket: Bucket) -> Int {
        max(1, Int(((1 - bucket.level) / perSecond).rounded(.up)))
    }

    private func makeRoom(_ all: inout [Key: Bucket], _ moment: Int64) {
        all = all.filter { filled($0.value, moment).level < burst }
        if all.count >= RelayLimits.meterCountMax { all = [:] }
    }
}

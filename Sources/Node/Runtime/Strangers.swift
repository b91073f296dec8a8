// Who is connected and has not proved a key: few, briefly, and counted.

internal import Sync
internal import Transport

/// The places of connections in their handshake, and of those that failed it, until they are gone.
///
/// Whoever floods this node takes its own places, and those of nobody else, as long as it comes from one
/// address; from many, the oldest unproved connection makes room.
final class Strangers {
    struct Place: Hashable {
        fileprivate var number: UInt64
        fileprivate var host: String
    }

    static let placesMax = 128
    static let placesPerHostMax = 16
    private static let lineGapMilliseconds: Milliseconds = 10_000

    private var lastNumber: UInt64 = 0
    private var handshakes: [Place: Handshake] = [:]
    /// Connections that were told why they are refused, and have not gone yet; and those that ask to be
    /// let in by a code which nobody sees yet.
    private var leaving: [Place: Transport.Stream] = [:]
    private var places: Set<Place> = []
    private var countByHost: [String: Int] = [:]
    private var lastLineAt: Milliseconds?
    /// Connections that proved no key of a member, since the start.
    private(set) var refusedCount = 0

    /// A place for a connection from `host`; nil when that address has all that it gets.
    func enter(_ host: String) -> Place? {
        guard countByHost[host, default: 0] < Self.placesPerHostMax else {
            noteRefusal()
            return nil
        }
        if places.count >= Self.placesMax, let oldest = places.min(by: { $0.number < $1.number }) {
            if leaving[oldest] == nil { noteRefusal() }
            let (handshake, stream) = (handshakes[oldest], leaving[oldest])
            leave(oldest)
            handshake?.cancel()
            stream?.close()
        }
        lastNumber += 1
        let place = Place(number: lastNumber, host: host)
        places.insert(place)
        countByHost[host, default: 0] += 1
        return place
    }

    func hold(_ handshake: Handshake, at place: Place) {
        if places.contains(place) { handshakes[place] = handshake }
    }

    /// The handshake is over and has proved nothing: the stream keeps its place.
    func hold(_ stream: Transport.Stream, at place: Place) {
        handshakes[place] = nil
        if places.contains(place) { leaving[place] = stream }
    }

    /// The handshake failed: the place is free when the last word is said and the connection closed.
    func leave(_ place: Place, with stream: Transport.Stream) {
        handshakes[place] = nil
        guard stream.isOpen, places.contains(place) else { return leave(place) }
        leaving[place] = stream
        stream.onClose = { [weak self] _ in self?.leave(place) }
    }

    func leave(_ place: Place) {
        guard places.remove(place) != nil else { return }
        handshakes[place] = nil
        leaving[place] = nil
        let left = countByHost[place.host, default: 1] - 1
        countByHost[place.host] = left > 0 ? left : nil
    }

    func noteRefusal() { refusedCount += 1 }

    /// Whether the log has room for one more of them.
    func isWorthALine(_ now: Milliseconds) -> Bool {
        if let lastLineAt, now - lastLineAt < Self.lineGapMilliseconds { return false }
        lastLineAt = now
        return true
    }
}

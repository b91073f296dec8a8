// The header `Retry-After`: seconds, or a date of HTTP.

/// Reads how long a server asks to wait (RFC 9110, section 10.2.3).
package enum RetryAfter {
    /// The time to wait in milliseconds, 0 to ``RelayClientLimits/retryAfterMillisecondsMax``; nil for a
    /// value that is none.
    ///
    /// - Parameters:
    ///   - date: the answer's header `Date`, against which a date is counted: the two clocks may differ.
    ///   - wallSeconds: this machine's time since 1970, used when there is no such header.
    package static func milliseconds(
        _ value: String, date: String?, wallSeconds: Int64
    ) -> Int64? {
        let text = value.drop { $0 == " " }
        let limit = RelayClientLimits.retryAfterMillisecondsMax
        if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            guard text.utf8.count <= 9, let seconds = Int64(text) else { return limit }
            return min(limit, seconds * 1000)
        }
        guard let until = HTTPDate.seconds(String(text)) else { return nil }
        let now = date.flatMap(HTTPDate.seconds) ?? wallSeconds
        return min(limit, max(0, until - now) * 1000)
    }
}

/// A date as HTTP writes it (RFC 9110, section 5.6.7): the one form of today, and the two of old.
enum HTTPDate {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Seconds since 1970; nil for any other text.
    static func seconds(_ text: String) -> Int64? {
        let words = text.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "-" })
        // Sun, 06 Nov 1994 08:49:37 GMT    Sunday, 06-Nov-94 08:49:37 GMT    Sun Nov  6 08:49:37 1994
        if words.count == 6, words[5] == "GMT" {
            return seconds(year: words[3], month: words[2], day: words[1], time: words[4])
        }
        if words.count == 5 {
            return seconds(year: words[4], month: words[1], day: words[2], time: words[3])
        }
        return nil
    }

    private static func number(_ text: Substring, _ range: ClosedRange<Int>) -> Int? {
        guard text.utf8.count <= 4, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let value = Int(text), range.contains(value)
        else { return nil }
        return value
    }

    private static func seconds(
        year: Substring, month: Substring, day: Substring, time: Substring
    ) -> Int64? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false)
        guard let month = months.firstIndex(of: String(month)), let day = number(day, 1...31),
            var year = number(year, 0...9999), clock.count == 3,
            let hour = number(clock[0], 0...23), let minute = number(clock[1], 0...59),
            let second = number(clock[2], 0...60)
        else { return nil }
        // Two digits: of this century or the one before, as the old form was used.
        if year < 100 { year += year < 70 ? 2000 : 1900 }
        let days = Calendar.days(year: year, month: month + 1, day: day)
        return Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    }
}

enum Calendar {
    /// Days from 1970-01-01 in the Gregorian calendar, for any year from 0 (after H. Hinnant,
    /// "chrono-compatible low-level date algorithms").
    static func days(year: Int, month: Int, day: Int) -> Int {
        // Years begin in March, so that the leap day is the last one.
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
            - 719_468
    }
}

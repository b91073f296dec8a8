// How things stand with the group's relay, as one line of `starling status`.

import Node

struct RelayLine {
    let text: String

    /// nil when the group has no relay.
    init?(_ relay: JSONValue?, now: Int64) {
        guard let relay, let url = relay["url"]?.string else { return nil }
        let state = relay["state"]?.string ?? ""
        var words = "\(Words.safe(url)): \(Self.words[state] ?? Words.safe(state))"
        if let reason = relay["reason"]?.string { words += " (\(Words.safe(reason)))" }
        let queued = relay["queued_changes"]?.int ?? 0
        if queued > 0 { words += ", \(Words.count(queued, "change")) to append" }
        if let error = relay["last_error"]?.string { words += "; last error: \(Words.safe(error))" }
        if let next = relay["next_try_ms"]?.int {
            words += "; next try in \(Words.duration(max(0, next - now)))"
        }
        text = words
    }

    private static let words = [
        "connected": "connected", "appending": "appending", "reading": "reading",
        "standing_by": "another member on this network forwards", "off": "not used by this node",
        "held": "held back", "retrying": "does not answer", "paused": "paused after failures",
        "stopped": "stopped", "failed": "cannot be used", "waiting_for_key": "waiting for a key",
        "copying": "takes a copy of the group's data",
    ]
}

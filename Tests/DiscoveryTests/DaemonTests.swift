// Discovery as real processes with real Avahi daemons: machines of the bed where the daemon is
// needed, and a bus that does not exist where its absence is the subject.

import Testing

@Suite struct DaemonTests {
    @Test(.enabled(if: Bed.isAvailable, "needs the bed; the reason is on stderr"))
    func machinesSeeEachOtherAndALateJoiner() async throws {
        let bed = try await Bed(machines: 3)
        let first = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1001", "--txt", "v=1")
        let second = try await bed.probe(on: 2, "--name", "bbbb", "--port", "1002", "--txt", "v=1")
        let seen = try await first.appeared("bbbb", with: #""port":1002"#)
        #expect(seen.text.contains(#""10.77.0.2""#))
        #expect(seen.text.contains(#""txt":{"v":"1"}"#))
        let back = try await second.appeared("aaaa", with: #""port":1001"#)
        #expect(back.text.contains(#""10.77.0.1""#))

        // A link-local address is of no use without its scope.
        let scoped = try await first.appeared("bbbb", with: "\"fe80:")
        let interface = try #require(Probe.field("interfaces", of: scoped.text))
        #expect(scoped.text.contains("%\(interface.filter(\.isNumber))\""))

        let late = try await bed.probe(on: 3, "--name", "cccc", "--port", "1003")
        for probe in [first, second] {
            let line = try await probe.appeared("cccc", with: #""port":1003"#)
            #expect(line.text.contains(#""10.77.0.3""#))
        }
        _ = try await late.appeared("aaaa")
        _ = try await late.appeared("bbbb")
        #expect(!first.child.lines.contains { $0.contains(#""name":"aaaa""#) }, "saw itself")

        // A clean end says goodbye.
        #expect(try await late.stop().contains(#""finished":true"#))
        _ = try await first.child.line(with: #""disappeared""#, #""cccc""#)
    }

    @Test(.enabled(if: Bed.isAvailable, "needs the bed; the reason is on stderr"))
    func killedPeerIsFoundAgainOnAnotherPort() async throws {
        let bed = try await Bed(machines: 2)
        let watcher = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1001")
        let victim = try await bed.probe(on: 2, "--name", "bbbb", "--port", "1002")
        let mark = try await watcher.appeared("bbbb", with: #""port":1002"#).next

        try await bed.run("exec", "2", "kill", "-9", victim.pid)
        let heir = try await bed.probe(on: 2, "--name", "bbbb", "--port", "2002")
        _ = try await heir.state("running")
        try await watcher.find("bbbb", port: 2002, from: mark)
    }

    @Test(.enabled(if: Bed.isAvailable, "needs the bed; the reason is on stderr"))
    func lossOfDaemonAndBusIsToldAndRepaired() async throws {
        let bed = try await Bed(machines: 2)
        let first = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1001")
        let second = try await bed.probe(on: 2, "--name", "bbbb", "--port", "1002")
        _ = try await second.appeared("aaaa")
        var mark = try await first.appeared("bbbb").next

        try await bed.run("avahi-stop", "1")
        let lost = try await first.state("unavailable", from: mark)
        #expect(lost.text.contains("systemctl start avahi-daemon"))
        try await bed.run("avahi-start", "1")
        mark = try await first.state("running", from: lost.next).next

        try await bed.run("dbus-stop", "1")
        let noBus = try await first.state("unavailable", from: mark)
        try await bed.run("avahi-stop", "1")
        try await bed.run("dbus-start", "1")
        try await bed.run("avahi-start", "1")
        _ = try await first.state("running", from: noBus.next)

        // Both directions work again: each finds what the other announces now.
        #expect(try await second.stop().contains(#""finished":true"#))
        let again = try await bed.probe(on: 2, "--name", "bbbb", "--port", "2002")
        _ = try await again.appeared("aaaa")
        try await first.find("bbbb", port: 2002, from: noBus.next)
    }

    @Test func missingDaemonIsToldAtOnceAndSurvived() async throws {
        let nowhere = ["DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/starling/bus"]
        let probe = try await Probe(
            Child([Bed.probe, "--name", "aaaa", "--port", "1001"], environment: nowhere))
        let line = try await probe.state("unavailable")
        #expect(Probe.milliseconds("ms", of: line.text) < 1000)
        #expect(line.text.contains("apt install"))
        for wish in ["resolve bbbb", "unreached bbbb", "refresh"] { probe.child.send(wish) }
        let last = try await probe.stop()
        #expect(last.contains(#""finished":true"#))
        #expect(Probe.milliseconds("tookMs", of: last) < 1000)
        #expect(try await probe.child.exit() == 0)
    }

    @Test(.enabled(if: Bed.isAvailable, "needs the bed; the reason is on stderr"))
    func hungDaemonDoesNotHoldTheCaller() async throws {
        let bed = try await Bed(machines: 1)
        let probe = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1001")
        _ = try await probe.state("running")
        try await bed.run("avahi-pause", "1")
        // The discovery thread is now held for 25 s by the browse.
        probe.child.send("refresh")
        var blockedMs = 0
        var mark = 0
        for _ in 1...2000 where blockedMs < 200 {
            probe.child.send("blocked")
            let line = try await probe.child.line(from: mark, with: #""event":"blocked""#)
            mark = line.next
            blockedMs = Probe.milliseconds("forMs", of: line.text)
        }
        #expect((200..<25_000).contains(blockedMs))
        let last = try await probe.stop()
        #expect(last.contains(#""finished":false"#))
        #expect(Probe.milliseconds("tookMs", of: last) < 5000)
    }

    @Test(.enabled(if: Bed.isAvailable, "needs the bed; the reason is on stderr"))
    func nameHeldByAnotherProgramIsToldAndTakenWhenFree() async throws {
        let bed = try await Bed(machines: 1)
        let holder = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1001")
        _ = try await holder.state("running")
        let other = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1002")
        let conflict = try await other.state("conflict")
        #expect(conflict.text.contains("a second node with the same home folder"))
        _ = try await holder.stop()
        _ = try await other.state("running", from: conflict.next)
    }

    @Test(.enabled(if: Bed.isAvailable, "needs the bed; the reason is on stderr"))
    func oddAnnouncementsDoNoHarm() async throws {
        let bed = try await Bed(machines: 2)
        let probe = try await bed.probe(on: 1, "--name", "aaaa", "--port", "1001")
        _ = try await probe.state("running")
        let oddTXT = [
            "", "00", "ff616263", "03c328ff05613d620000", "013d", "0161",
            String(repeating: "ff613d" + String(repeating: "78", count: 253), count: 5),
        ]
        for (number, txt) in oddTXT.enumerated() {
            try await bed.run("ghost", "2", "odd\(number)", "h", "10.77.0.9", "4444", "60", txt)
        }
        for name in ["dots.and\\slashes", "  ", "#2", "%s%n"] {
            try await bed.run("ghost", "2", name, "h", "10.77.0.9", "4444", "60", "00")
        }
        try await bed.run("ghost", "2", "port0", "h", "10.77.0.9", "0", "60", "00")
        try await bed.run("ghost", "2", "group", "g", "224.0.0.251", "4444", "60", "00")
        // Ghosts do not answer questions, so one more sound ghost is the proof of life.
        try await bed.run("ghost", "2", "sound", "h", "10.77.0.9", "4444", "60", "03613d62")
        let line = try await probe.appeared("sound")
        #expect(line.text.contains(#""txt":{"a":"b"}"#))
        #expect(try await probe.stop().contains(#""finished":true"#))
        #expect(try await probe.child.exit() == 0)
        #expect(!probe.child.lines.contains { $0.contains("appeared") && $0.contains("port0") })
        #expect(!probe.child.lines.contains { $0.contains("appeared") && $0.contains("group") })
    }
}

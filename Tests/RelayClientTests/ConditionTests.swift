// When a relay may be used: the rules, and what Linux says, from files made for it.

import RelayClient
import TestKit
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite struct ConditionTests {
    private func now(
        _ hour: Int, _ minute: Int = 0, interface: String? = "eth0", cellular: Bool = false,
        battery: Int? = nil, inUse: Bool = true
    ) -> Surroundings {
        Surroundings(
            interface: interface.map { .init(name: $0, isCellular: cellular) },
            battery: battery.map { .init(percent: $0, isInUse: inUse) },
            secondOfDay: hour * 3600 + minute * 60)
    }

    @Test func nothingSetLetsEverythingGo() {
        let verdict = RelayConditions().evaluate(now(3, cellular: true, battery: 1))
        #expect(verdict == .go(lookAgainAfterSeconds: 60))
    }

    @Test func hoursGoOverMidnight() throws {
        var conditions = RelayConditions()
        conditions.hours = [try #require(HourRange(text: "22:00-06:30"))]
        #expect(conditions.evaluate(now(23)).mayGo)
        #expect(conditions.evaluate(now(0)).mayGo)
        #expect(conditions.evaluate(now(6, 29)).mayGo)
        #expect(!conditions.evaluate(now(6, 30)).mayGo)
        #expect(!conditions.evaluate(now(21, 59)).mayGo)
        #expect(
            conditions.evaluate(now(21, 55))
                == .wait(
                    .hours, "it is not the time for it (22:00-06:30)", lookAgainAfterSeconds: 300))
        #expect(conditions.evaluate(now(12)).lookAgainAfterSeconds == 600)
        conditions.hours.append(try #require(HourRange(text: "12:00-13:00")))
        #expect(conditions.evaluate(now(12)).mayGo)
        #expect(!conditions.evaluate(now(13)).mayGo)
    }

    @Test func readsHours() throws {
        for text in ["00:00-24:00", "7:30-8:00", "23:59-00:00"] {
            #expect(HourRange(text: text) != nil, "\(text)")
        }
        #expect(try #require(HourRange(text: "00:00-24:00")).isWholeDay)
        #expect(try #require(HourRange(text: "7:05-8:00")).text == "07:05-08:00")
        for text in [
            "", "7-8", "24:00-1:00", "7:60-8:00", "7:0-8:00", "-1:00-2:00", "1:00", "a:00-b:00",
        ] {
            #expect(HourRange(text: text) == nil, "\(text)")
        }
        // Every minute is in exactly one of two halves.
        let day = try #require(HourRange(text: "06:10-17:45"))
        let night = try #require(HourRange(text: "17:45-06:10"))
        for minute in 0..<1440 {
            #expect(day.contains(minute: minute) != night.contains(minute: minute))
        }
    }

    @Test func batteriesCountWhenInUse() {
        var conditions = RelayConditions()
        conditions.batteryPercentMin = 20
        #expect(conditions.evaluate(now(1, battery: 20)).mayGo)
        #expect(conditions.evaluate(now(1, battery: 3, inUse: false)).mayGo)
        #expect(conditions.evaluate(now(1)).mayGo)
        let verdict = conditions.evaluate(now(1, battery: 19))
        #expect(verdict.reason == "the battery holds 19 %, less than 20 %")
    }

    @Test func meteredLinksAreAvoided() {
        var conditions = RelayConditions()
        conditions.meteredInterfaces = ["wlan1", "usb*", "en?9"]
        #expect(conditions.evaluate(now(1, interface: "usb0")).mayGo)
        conditions.avoidsMetered = true
        for name in ["wlan1", "usb0", "usb", "enx9"] {
            #expect(!conditions.evaluate(now(1, interface: name)).mayGo, "\(name)")
        }
        for name in ["wlan10", "wlan", "ausb0", "en9", "enxx9"] {
            #expect(conditions.evaluate(now(1, interface: name)).mayGo, "\(name)")
        }
        #expect(conditions.evaluate(now(1, interface: nil)).mayGo)
        let verdict = conditions.evaluate(now(1, interface: "wwan0", cellular: true))
        #expect(verdict.reason == "the way out is wwan0, which is metered")
    }

    @Test func readsLinux() throws {
        let folder = TemporaryDirectory()
        func write(_ path: String, _ text: String) throws {
            var place = folder.path
            for part in path.split(separator: "/").dropLast() {
                place += "/\(part)"
                mkdir(place, 0o700)
            }
            let file = try #require(fopen(folder.file(path), "w"))
            fputs(text, file)
            fclose(file)
        }
        var reader = SurroundingsReader()
        reader.powerPath = folder.file("power")
        reader.routePath = folder.file("route")
        reader.route6Path = folder.file("route6")
        reader.networkPath = folder.file("net")
        #expect(reader.read(wallSeconds: 0).interface == nil)
        #expect(reader.read(wallSeconds: 0).battery == nil)

        try write("power/BAT0/type", "Battery\n")
        try write("power/BAT0/capacity", "37\n")
        try write("power/BAT0/status", "Discharging\n")
        try write("power/BAT1/type", "Battery\n")
        try write("power/BAT1/capacity", "garbage\n")
        try write("power/mouse/type", "Battery\n")
        try write("power/mouse/scope", "Device\n")
        try write("power/mouse/capacity", "3\n")
        try write("power/AC/type", "Mains\n")
        try write("power/AC/online", "0\n")
        #expect(reader.read(wallSeconds: 0).battery == .init(percent: 37, isInUse: true))
        try write("power/AC/online", "1\n")
        #expect(reader.read(wallSeconds: 0).battery == .init(percent: 37, isInUse: false))

        let six = String(repeating: "0", count: 32)
        try write(
            "route6",
            "\(six) 00 \(six) 00 \(six) ffffffff 1 0 00200200 lo\n"
                + "\(six) 00 \(six) 00 fe800000000000000000000000000001 00000400 1 0 00000003 wwan7\n"
        )
        try write("net/wwan7/uevent", "INTERFACE=wwan7\n")
        #expect(
            reader.read(wallSeconds: 0).interface == .init(name: "wwan7", isCellular: true))
        let head =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        try write(
            "route",
            head + "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                + "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
                + "enx1\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
                + "down\t00000000\t0102A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\nshort\n")
        #expect(
            reader.read(wallSeconds: 0).interface == .init(name: "enx1", isCellular: false))
        try write("net/enx1/uevent", "DEVTYPE=wwan\nINTERFACE=enx1\n")
        #expect(reader.read(wallSeconds: 0).interface == .init(name: "enx1", isCellular: true))
    }

    @Test func theTimeIsLocal() {
        #expect((0..<86_400).contains(SurroundingsReader.secondOfDay(wallSeconds: 1_700_000_000)))
        let first = SurroundingsReader.secondOfDay(wallSeconds: 1_700_000_000)
        let second = SurroundingsReader.secondOfDay(wallSeconds: 1_700_000_060)
        #expect((second - first + 86_400) % 86_400 == 60)
    }
}

// Reads from Linux what conditions ask: batteries, the default route, the kind of its link. What cannot
// be read is not there; nothing here fails.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The files of the kernel that tell of power and network (Documentation/ABI/testing/sysfs-class-power and
/// sysfs-class-net of Linux; proc(5)). On other systems there are none, and only hours apply.
package struct SurroundingsReader: Sendable {
    package var powerPath = "/sys/class/power_supply"
    package var routePath = "/proc/net/route"
    package var route6Path = "/proc/net/ipv6_route"
    package var networkPath = "/sys/class/net"

    package init() {}

    /// - Parameter wallSeconds: since 1970.
    package func read(wallSeconds: Int64) -> Surroundings {
        Surroundings(
            interface: interface(), battery: battery(),
            secondOfDay: Self.secondOfDay(wallSeconds: wallSeconds))
    }

    /// In the time zone of the process.
    package static func secondOfDay(wallSeconds: Int64) -> Int {
        var time = time_t(wallSeconds)
        var parts = tm()
        guard localtime_r(&time, &parts) != nil else { return Int(wallSeconds % 86_400) }
        return Int(parts.tm_hour) * 3600 + Int(parts.tm_min) * 60 + min(59, Int(parts.tm_sec))
    }

    // MARK: Power

    /// All batteries of the machine together. Those of mice and headsets (scope "Device") do not count.
    private func battery() -> Surroundings.Battery? {
        var percents: [Int] = []
        var isDischarging = false
        var isPlugged = false
        for name in Files.names(in: powerPath) {
            let folder = "\(powerPath)/\(name)"
            switch Files.word("\(folder)/type") {
            case "Battery"?:
                guard Files.word("\(folder)/scope") != "Device",
                    let percent = Files.word("\(folder)/capacity").flatMap({ Int($0) })
                else { continue }
                percents.append(min(100, max(0, percent)))
                if Files.word("\(folder)/status") == "Discharging" { isDischarging = true }
            case nil: continue
            default: if Files.word("\(folder)/online") == "1" { isPlugged = true }
            }
        }
        guard !percents.isEmpty else { return nil }
        return Surroundings.Battery(
            percent: percents.reduce(0, +) / percents.count, isInUse: isDischarging && !isPlugged)
    }

    // MARK: The way out

    private func interface() -> Surroundings.Interface? {
        guard let name = defaultInterface() else { return nil }
        return Surroundings.Interface(name: name, isCellular: isCellular(name))
    }

    /// The interface of the default route with the least metric, of IPv4 before IPv6.
    private func defaultInterface() -> String? {
        var best: (metric: UInt64, name: String)?
        for line in Files.lines(routePath).dropFirst() {
            // Iface Destination Gateway Flags RefCnt Use Metric Mask …
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 8, UInt32(words[1], radix: 16) == 0,
                UInt32(words[7], radix: 16) == 0, let flags = UInt32(words[3], radix: 16),
                flags & Self.isUp != 0, let metric = UInt64(words[6])
            else { continue }
            if best.map({ metric < $0.metric }) ?? true { best = (metric, String(words[0])) }
        }
        if let best { return best.name }
        for line in Files.lines(route6Path) {
            // destination length source length next-hop metric references use flags interface
            let words = line.split(separator: " ")
            guard words.count >= 10, words[0].allSatisfy({ $0 == "0" }), words[1] == "00",
                words[9] != "lo", let metric = UInt64(words[5], radix: 16),
                let flags = UInt32(words[8], radix: 16), flags & Self.isUp != 0
            else { continue }
            if best.map({ metric < $0.metric }) ?? true { best = (metric, String(words[9])) }
        }
        return best?.name
    }

    /// RTF_UP.
    private static let isUp: UInt32 = 1

    /// DEVTYPE of a modem is `wwan`; lines that are dialled are ppp.
    private func isCellular(_ name: String) -> Bool {
        if name.hasPrefix("ppp") || name.hasPrefix("wwan") { return true }
        // A name of the kernel's has no slash; one that has is no path to follow.
        guard !name.contains("/") else { return false }
        return Files.lines("\(networkPath)/\(name)/uevent").contains {
            $0 == "DEVTYPE=wwan" || $0 == "DEVTYPE=ppp"
        }
    }
}

/// Small files of the kernel.
private enum Files {
    private static let bytesMax = 256 << 10

    static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    static func lines(_ path: String) -> [Substring] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < bytesMax {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    /// The first line.
    static func word(_ path: String) -> String? { lines(path).first.map(String.init) }
}

// What any machine on the network can announce: TXT records, instances, addresses. All of it is
// taken without a handshake, so every table has a bound.

@testable import Discovery
@testable import Sync

extension FuzzTarget {
    static let discovery = FuzzTarget(
        name: "discovery", bytesMax: 512,
        words: phrases(
            "node=", "group=", "proto=1", "c1d518165e5a622fa1cf790b53bb1826", "fe80::1%2"),
        seeds: {
            let txt = TXTRecord.encode(["node": "aa", "group": "bb", "proto": "1"])
            let sighting =
                [1, 1] + FuzzInput.piece(Array("aa".utf8)) + [3, 1]
                + FuzzInput.piece(Array("aa".utf8)) + FuzzInput.piece(txt) + [0, 80]
                + FuzzInput.piece(Array("10.0.0.1".utf8))
            return [[0] + FuzzInput.piece(txt), sighting + [5, 200, 2, 1, 2, 0x61, 0x61]]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            var table = PeerTable(ownName: "own")
            var book = PeerBook(node: "own")
            var progress = LookupProgress(kind: .again, now: 0)
            var now: Int64 = 0
            while !input.isAtEnd {
                switch input.below(8) {
                case 0: try checkRecord(input.bytes())
                case 1: _ = table.sighted(interface: UInt32(input.byte()), name: input.text())
                case 2: _ = table.lost(interface: UInt32(input.byte()), name: input.text())
                case 3:
                    let target = LookupTarget(
                        instanceName: input.text(), interface: UInt32(input.byte()))
                    let answer = LookupAnswer(
                        port: UInt16(input.byte()), txt: TXTRecord.decode(input.bytes()),
                        addresses: [input.text()], interface: target.interface)
                    for case .tell(.appeared(let peer)) in table.answered(target, answer) {
                        book.appeared(peer, now)
                    }
                case 4:
                    _ = table.failed(
                        LookupTarget(instanceName: input.text(), interface: UInt32(input.byte())),
                        now: now)
                case 5:
                    now += Int64(input.byte()) * 1000
                    _ = table.tick(now: now)
                    _ = book.takeDials(now: now)
                case 6:
                    table.setUnreached([input.text(), input.text()], now: now)
                    table.browseOpened(now: now)
                default:
                    let location = ServiceLocation(
                        host: input.text(), port: UInt16(input.byte()), txt: [:], interface: 1)
                    _ = progress.located(location, now: now)
                    progress.address(input.text(), added: input.byte() < 200, now: now)
                    let answer = progress.takeAnswer(now: now)
                    try promise(
                        answer?.addresses.count ?? 0 <= DiscoveryLimits.addressesPerInterfaceMax,
                        "too many addresses")
                }
                try promise(table.count <= DiscoveryLimits.instancesMax, "too many instances")
                if let due = table.nextDue { try promise(due >= 0, "due before the start") }
            }
        })

    private static func checkRecord(_ bytes: [UInt8]) throws {
        let pairs = TXTRecord.decode(bytes)
        try promise(pairs.count <= DiscoveryLimits.txtPairsMax, "too many pairs")
        for (key, value) in pairs {
            try promise(
                (key + value).utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }, "a control character")
        }
        try promise(TXTRecord.decode(TXTRecord.encode(pairs)) == pairs, "pairs do not come again")
    }
}

extension PeerTable {
    fileprivate mutating func sighted(interface: UInt32, name: String) -> [Effect] {
        sighted(name, interface: interface)
    }

    fileprivate mutating func lost(interface: UInt32, name: String) -> [Effect] {
        lost(name, interface: interface)
    }
}

extension PeerBook {
    /// As a running node takes it up.
    fileprivate mutating func appeared(_ peer: DiscoveredPeer, _ now: Int64) {
        guard let node = peer.txt["node"] else { return }
        discovered(
            node: node, name: "",
            addresses: peer.addresses.map { PeerAddress(host: $0, port: peer.port) }, now: now)
    }
}

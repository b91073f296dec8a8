// Two channels and the wire between them, in memory: what is carried can be cut, changed and kept.

import TestKit
import Trust

final class Wiretap {
    enum Side: Int, CaseIterable { case client, server }

    private(set) var channels: [SecureChannel]
    /// Plain bytes that each side was given.
    private(set) var received: [[UInt8]] = [[], []]
    private(set) var errors: [TrustError?] = [nil, nil]
    /// Everything that each side has sent.
    private(set) var sent: [[UInt8]] = [[], []]
    /// Changes what is on its way from a side, before it is cut into pieces.
    var tamper: (Side, [UInt8]) -> [UInt8] = { $1 }
    /// The most that arrives at once.
    var pieceBytes = Int.max

    init(_ client: SecureChannel, _ server: SecureChannel) { channels = [client, server] }

    /// Two nodes that know each other, or as `trusts` says.
    convenience init(
        _ client: NodeKey, _ server: NodeKey,
        trusts: @escaping (Side, PublicKey) -> Bool = { _, _ in true }
    ) throws {
        self.init(
            try SecureChannel(SecureContext(key: client), role: .client) { trusts(.client, $0) },
            try SecureChannel(SecureContext(key: server), role: .server) { trusts(.server, $0) })
    }

    subscript(side: Side) -> SecureChannel { channels[side.rawValue] }

    func received(_ side: Side) -> [UInt8] { received[side.rawValue] }
    func error(_ side: Side) -> TrustError? { errors[side.rawValue] }

    /// Carries bytes to and fro until neither side has more.
    func run() {
        var isMoving = true
        while isMoving {
            isMoving = false
            for side in Side.allCases {
                let bytes = self[side].takeOutput()
                if bytes.isEmpty { continue }
                isMoving = true
                sent[side.rawValue] += bytes
                deliver(tamper(side, bytes), to: 1 - side.rawValue)
            }
        }
    }

    func deliver(_ bytes: [UInt8], to index: Int) {
        var rest = bytes[...]
        while !rest.isEmpty, errors[index] == nil {
            let piece = rest.prefix(pieceBytes)
            rest = rest.dropFirst(piece.count)
            do { received[index] += try channels[index].receive(Array(piece)) } catch {
                errors[index] = error
            }
        }
    }
}

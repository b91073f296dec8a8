// What a person pastes to let a machine in, and what the two machines say then.

@testable import Node
@testable import Sync
@testable import Trust

private let sampleInvitation: Invitation = {
    let key = try? NodeKey(secret: [UInt8](repeating: 7, count: 32)).publicKey
    guard let key else { preconditionFailure("32 bytes are a key") }
    return Invitation(
        inviter: key, secret: Array(0..<16), expiresSeconds: 1_800_000_000, name: "Büro",
        addresses: [HostPort(host: "192.168.1.20", port: 7878), HostPort(host: "fd00::1", port: 1)])
}()

extension FuzzTarget {
    /// Invitations as lines and as bytes behind a right checksum, requests, answers, files of pairing.
    static let invitation = FuzzTarget(
        name: "invitation", bytesMax: 512,
        words: phrases(
            "STARLING1-", "\"key\":", "\"proof\":", "\"v\":1", "\"role\":\"reader\"",
            "\"nonce\":", "\"commitment\":"),
        seeds: {
            let inviter = sampleInvitation.inviter
            let answer = PairingAnswer(
                group: String(repeating: "ab", count: 16), name: "van", role: .reader,
                inviter: "Büro")
            let request = try? NodeKey(secret: [UInt8](repeating: 9, count: 32))
                .request(inviter: inviter)
            return [
                [0] + Array(sampleInvitation.line.utf8),
                [1] + sampleInvitation.content, [2] + (request ?? []),
                [3] + answer.json.encoded,
                [4] + Introducer(key: inviter, name: "Büro", role: .reader).content,
                [5] + CodeMessage.nonce(inviter.bytes).json.encoded,
                [5] + CodeMessage.commitment(inviter.bytes).json.encoded,
                [6] + Array("047 291".utf8),
            ]
        },
        check: { bytes in
            var input = FuzzInput(bytes)
            switch input.below(7) {
            case 0:
                let text = String(decoding: input.all(), as: UTF8.self)
                guard let found = try? Invitation(line: text) else { return }
                try promise((try? Invitation(line: found.line)) == found, "another invitation")
            case 1:
                guard let found = Invitation(content: input.all()) else { return }
                try promise((try? Invitation(line: found.line)) == found, "another invitation")
            case 2:
                let line = input.all()
                let inviter = sampleInvitation.inviter
                guard
                    let found = try? PairingRequest(line: line, inviter: inviter, oneTime: inviter)
                else { return }
                try promise(found.key != inviter, "the inviter's own key was proved")
            case 3:
                guard let value = try? JSONValue(parsing: input.all()),
                    let found = PairingAnswer(value)
                else { return }
                try promise(PairingAnswer(found.json) == found, "another answer")
            case 5:
                guard let found = CodeMessage(line: input.all()) else { return }
                try promise(CodeMessage(found.json) == found, "another step")
            case 6:
                let text = String(decoding: input.all(), as: UTF8.self)
                guard let code = CodeTranscript.read(text) else { return }
                try promise(code.utf8.count == 6 && UInt32(code) != nil, "not six digits")
                try promise(CodeTranscript.read(CodeTranscript.shown(code)) == code, "another code")
            default:
                guard let found = Introducer(content: input.all()) else { return }
                try promise(Introducer(content: found.content) == found, "another introducer")
            }
        })
}

extension NodeKey {
    fileprivate func request(inviter: PublicKey) throws -> [UInt8] {
        try PairingRequest(
            key: self, names: PairingNames(wanted: "van", machine: "host"), inviter: inviter,
            oneTime: inviter
        ).line
    }
}

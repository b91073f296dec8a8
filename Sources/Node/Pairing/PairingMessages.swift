// What is said over a pairing channel: one line of JSON each way, inside TLS. The channel itself has
// proved the one-time secret and the inviter's key.

internal import Sync
internal import Trust

/// What a newcomer may be called.
struct PairingNames: Equatable {
    /// What it was told; nil leaves it to the invitation.
    var wanted: String?
    /// What it is called when nobody says anything.
    var machine: String
}

/// What a newcomer asks for.
struct PairingRequest {
    static let version: Int64 = 1
    static let lineBytesMax = 16_384

    var key: PublicKey
    var names: PairingNames
    /// Whose data it has begun to take; nil for any group.
    var group: String?
    /// Made with `key`: the newcomer has it, and means this inviter and this invitation.
    var proof: [UInt8]

    static func statement(newcomer: PublicKey, inviter: PublicKey, oneTime: PublicKey) -> [UInt8] {
        Array("starling join 1".utf8) + newcomer.bytes + inviter.bytes + oneTime.bytes
    }

    init(
        key: NodeKey, names: PairingNames, group: String? = nil, inviter: PublicKey,
        oneTime: PublicKey
    ) throws(TrustError) {
        self.key = key.publicKey
        self.names = names
        self.group = group
        proof = try key.sign(
            Self.statement(newcomer: key.publicKey, inviter: inviter, oneTime: oneTime))
    }

    /// - Throws: `refused` when it is malformed or the proof is not right.
    init(line: [UInt8], inviter: PublicKey, oneTime: PublicKey) throws(NodeError) {
        let limits = JSONLimits(bytesMax: Self.lineBytesMax, depthMax: 4)
        guard let value = try? JSONValue(parsing: line, limits: limits),
            value["v"]?.int == Self.version,
            let key = value["key"]?.string.flatMap(PublicKey.init(hex:)),
            let proof = value["proof"]?.string.flatMap(Hexadecimal.bytes)
        else {
            throw NodeError(.refused, "the two machines have different versions of starling")
        }
        let statement = Self.statement(newcomer: key, inviter: inviter, oneTime: oneTime)
        guard key.hasSigned(statement, proof) else {
            throw NodeError(.refused, "the newcomer has not the key that it shows")
        }
        self.key = key
        self.proof = proof
        group = value["group"]?.string
        names = PairingNames(
            wanted: try value["name"]?.string.map(Identity.checkedName),
            machine: try value["machine"]?.string.map(Identity.checkedName) ?? "node")
    }

    var line: [UInt8] {
        let value: JSONValue = [
            "v": .int(Self.version), "key": .string(key.hex),
            "name": JSONValue(optional: names.wanted),
            "machine": .string(names.machine), "group": JSONValue(optional: group),
            "proof": .string(Hexadecimal.text(proof)),
        ]
        return value.encoded + [0x0a]
    }
}

/// What the inviter answers when it let the newcomer in.
struct PairingAnswer: Equatable {
    var group: String
    /// What the newcomer is called, and may do.
    var name: String
    var role: Membership.Role
    /// The inviter's name.
    var inviter: String

    init(group: String, name: String, role: Membership.Role, inviter: String) {
        self.group = group
        self.name = name
        self.role = role
        self.inviter = inviter
    }

    init?(_ value: JSONValue) {
        guard let group = value["group"]?.string.flatMap({ try? Identity.checkedGroup($0) }),
            let name = value["name"]?.string.flatMap({ try? Identity.checkedName($0) }),
            let role = value["role"]?.string.flatMap(Membership.Role.init(rawValue:)),
            let inviter = value["inviter"]?.string.flatMap({ try? Identity.checkedName($0) })
        else { return nil }
        self.init(group: group, name: name, role: role, inviter: inviter)
    }

    var json: JSONValue {
        [
            "group": .string(group), "name": .string(name), "role": .string(role.rawValue),
            "inviter": .string(inviter),
        ]
    }
}

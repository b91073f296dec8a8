// The secrets of epochs that this node holds, in a file of the home folder that only its owner can read:
// once granted, a secret stays, whatever becomes of who granted it.

internal import RelayClient
internal import RelayProtocol

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What `epochs.json` of a home holds. The base epoch is not in it: it follows from the group's secret.
struct EpochBook: Sendable {
    private(set) var epochs: [Epoch] = []
    /// Grants that this node made and appended to the log, by epoch and receiver.
    private(set) var announced: Set<String> = []
    /// The epoch whose credential the relay took last.
    var credential: EpochID?

    private static let fileBytesMax = 1 << 20
    private static let epochsMax = 1_024

    init() {}

    /// - Throws: `badHome` for a file that cannot be read; a secret that is lost is not made up for.
    init(of home: Home) throws {
        let content: [UInt8]
        do { content = try AtomicFile.read(home.epochsPath, bytesMax: Self.fileBytesMax) } catch {
            if error.number == ENOENT { return }
            throw NodeError(.badHome, error.explain("cannot read \(home.epochsPath)"), cause: error)
        }
        guard let value = try? JSONValue(parsing: content), value["v"] == 1 else {
            throw NodeError(
                .badHome,
                "\(home.epochsPath) is damaged: put it back from a backup, or remove it and let another "
                    + "member grant the keys again")
        }
        for item in value["epochs"]?.array ?? [] {
            guard let id = item["id"]?.string.flatMap(Hex.bytes).flatMap(EpochID.init(encoded:)),
                let secret = item["secret"]?.string.flatMap(Hex.bytes),
                let epoch = Epoch(id: id, secret: secret)
            else { continue }
            epochs.append(epoch)
        }
        announced = Set((value["announced"]?.array ?? []).compactMap(\.string))
        credential = value["credential"]?.string.flatMap(Hex.bytes)
            .flatMap(EpochID.init(encoded:))
    }

    func save(to home: Home) throws(NodeError) {
        let value: JSONValue = [
            "v": 1,
            "epochs": .array(
                epochs.map {
                    [
                        "id": .string(Hex.text($0.id.encoded)),
                        "secret": .string(Hex.text($0.secret)),
                    ]
                }),
            "announced": .array(announced.sorted().map(JSONValue.string)),
            "credential": JSONValue(optional: credential.map { Hex.text($0.encoded) }),
        ]
        do { try AtomicFile.replace(home.epochsPath, with: value.encoded + [0x0a]) } catch {
            throw NodeError(.failed, error.explain("cannot write \(home.epochsPath)"), cause: error)
        }
    }

    mutating func add(_ epoch: Epoch) {
        guard !epochs.contains(where: { $0.id == epoch.id }) else { return }
        epochs = epochs.suffix(Self.epochsMax - 1) + [epoch]
    }

    mutating func forgetAnnounced() { announced = [] }

    static func name(_ grant: EpochGrant) -> String {
        Hex.text(grant.epoch.encoded) + "/" + grant.receiver
    }

    mutating func announce(_ grants: [EpochGrant]) {
        announced.formUnion(grants.map(Self.name))
    }
}

extension Home {
    var epochsPath: String { "\(path)/epochs.json" }
}

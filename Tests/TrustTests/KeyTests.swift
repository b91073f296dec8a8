// Keys, and the names made of them.

import Testing
import Trust

@Suite struct KeyTests {
    private func bytes(_ hex: String) -> [UInt8] {
        stride(from: 0, to: hex.count, by: 2).compactMap { place in
            let start = hex.index(hex.startIndex, offsetBy: place)
            return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)
        }
    }

    /// RFC 8032, section 7.1, tests 1 and 2.
    @Test(arguments: [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        ),
    ])
    func publicKeyIsThatOfTheStandard(secret: String, publicKey: String) throws {
        let key = try NodeKey(secret: bytes(secret))
        #expect(key.publicKey.bytes == bytes(publicKey))
        #expect(try key.secret() == bytes(secret))
    }

    @Test(arguments: [0, 1, 31, 33, 64]) func keysOfAnotherLengthAreRefused(count: Int) {
        let wrong = [UInt8](repeating: 1, count: count)
        #expect(throws: TrustError(.invalidKey, "")) { try NodeKey(secret: wrong) }
        #expect(throws: TrustError(.invalidKey, "")) { try PublicKey(bytes: wrong) }
    }

    @Test func newKeysDiffer() throws {
        let keys = try (0..<20).map { _ in try NodeKey().publicKey }
        #expect(Set(keys).count == 20)
        #expect(Set(keys.map(\.node)).count == 20)
        #expect(Set(keys.map(\.fingerprint)).count == 20)
    }

    /// Computed by Python's hashlib and written down: they stand in files and on paper.
    @Test func namesOfAKeyNeverChange() throws {
        let key = try PublicKey(bytes: Array(0..<32))
        #expect(key.node == "447da7a1df29fa7af6d278763feb8c60")
        #expect(key.fingerprint == "K0MG-D4CB-YTWW-EDDK-NJQC-H1DN")
    }
}

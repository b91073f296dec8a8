// Derivation, encryption and agreement of keys against the standards' own answers.

import Testing
import Trust

/// Digits of a standard, with spaces.
private func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite struct CipherTests {
    private let sunscreen = Array(
        ("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
            + "sunscreen would be it.").utf8)

    /// RFC 5869, appendices A.1 to A.3.
    @Test func derivesAsTheStandard() {
        let secret = [UInt8](repeating: 0x0b, count: 22)
        let salt = Array(UInt8(0)...0x0c)
        #expect(
            HKDF.extract(salt: salt, secret: secret)
                == hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"))
        #expect(
            HKDF.derive(secret, salt: salt, info: Array(UInt8(0xf0)...0xf9), count: 42)
                == hex(
                    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                        + "34007208d5b887185865"))
        #expect(
            HKDF.derive(
                Array(UInt8(0)...0x4f), salt: Array(UInt8(0x60)...0xaf),
                info: Array(UInt8(0xb0)...0xff), count: 82)
                == hex(
                    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
                        + "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
                        + "cc30c58179ec3e87c14c01d5c1f3434f1d87"))
        #expect(
            HKDF.derive(secret, info: [], count: 42)
                == hex(
                    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
                        + "9d201395faa4b61a96c8"))
        #expect(HKDF.derive(secret, info: [], count: 0) == [])
        let longest = HKDF.derive(secret, info: [1], count: HKDF.outputBytesMax)
        #expect(longest.count == 8160)
        #expect(Array(longest.prefix(100)) == HKDF.derive(secret, info: [1], count: 100))
    }

    /// RFC 8439, section 2.8.2.
    @Test func encryptsAsTheStandard() throws {
        let key = Array(UInt8(0x80)...0x9f)
        let nonce = hex("070000004041424344454647")
        let context = hex("50515253c0c1c2c3c4c5c6c7")
        let expected = hex(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
                + "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
                + "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                + "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691")
        let sealed = try ChaChaPoly.seal(
            sunscreen, key: key, nonce: nonce, authenticating: context)
        #expect(sealed == expected)
        #expect(
            ChaChaPoly.open(sealed, key: key, nonce: nonce, authenticating: context) == sunscreen)
    }

    @Test(arguments: [0, 1, 63, 64, 65, 300]) func anyChangeIsNoticed(count: Int) throws {
        let (key, nonce, context) = (randomBytes(32), randomBytes(12), randomBytes(20))
        let plain = randomBytes(count)
        let sealed = try ChaChaPoly.seal(plain, key: key, nonce: nonce, authenticating: context)
        func opens(
            _ sealed: [UInt8], _ key: [UInt8], _ nonce: [UInt8], _ context: [UInt8]
        ) -> Bool {
            ChaChaPoly.open(sealed, key: key, nonce: nonce, authenticating: context) == plain
        }
        #expect(opens(sealed, key, nonce, context))
        for place in sealed.indices { #expect(!opens(flip(sealed, place), key, nonce, context)) }
        for place in key.indices { #expect(!opens(sealed, flip(key, place), nonce, context)) }
        for place in nonce.indices { #expect(!opens(sealed, key, flip(nonce, place), context)) }
        for place in context.indices { #expect(!opens(sealed, key, nonce, flip(context, place))) }
        for length in 0..<sealed.count {
            #expect(
                ChaChaPoly.open(
                    Array(sealed.prefix(length)), key: key, nonce: nonce, authenticating: context)
                    == nil)
        }
    }

    private func flip(_ bytes: [UInt8], _ place: Int) -> [UInt8] {
        var changed = bytes
        changed[place] ^= 1
        return changed
    }
}

@Suite struct AgreementTests {
    /// RFC 7748, section 6.1.
    @Test func agreesAsTheStandard() throws {
        let alice = try AgreementKey(
            secret: hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
        let bob = try AgreementKey(
            secret: hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        #expect(
            alice.publicKey
                == hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
        #expect(
            bob.publicKey
                == hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
        let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
        #expect(alice.sharedSecret(with: bob.publicKey) == shared)
        #expect(bob.sharedSecret(with: alice.publicKey) == shared)
    }

    /// Points of small order (RFC 7748, section 7) would make a secret that everybody knows.
    @Test func refusesKeysThatGiveNothing() throws {
        let key = try AgreementKey()
        var one = [UInt8](repeating: 0, count: 32)
        #expect(key.sharedSecret(with: one) == nil)
        one[0] = 1
        #expect(key.sharedSecret(with: one) == nil)
        #expect(
            key.sharedSecret(
                with: hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))
                == nil)
        #expect(key.sharedSecret(with: []) == nil)
        #expect(key.sharedSecret(with: [UInt8](repeating: 9, count: 33)) == nil)
    }

    /// The same pair as libsodium makes of a signing key (its test `ed25519_convert`), and both halves
    /// agree for any key.
    @Test func signingKeysServeForAgreement() throws {
        let node = try NodeKey(
            secret: hex("421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee"))
        let expected = hex("f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50")
        #expect(try node.agreementKey().publicKey == expected)
        #expect(node.publicKey.agreementKey == expected)
        for _ in 0..<50 {
            let key = try NodeKey()
            #expect(try key.agreementKey().publicKey == key.publicKey.agreementKey)
        }
        // The neutral element has no such form.
        #expect(try PublicKey(bytes: [1] + [UInt8](repeating: 0, count: 31)).agreementKey == nil)
    }

    /// RFC 9180, appendix A.2.1.
    @Test func wrapsAsTheStandard() throws {
        let info = hex("4f6465206f6e2061204772656369616e2055726e")
        let ephemeral = try AgreementKey(
            secret: hex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"))
        let receiver = try AgreementKey(
            secret: hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"))
        let plain = hex("4265617574792069732074727574682c20747275746820626561757479")
        let context = hex("436f756e742d30")
        let sealed = try HybridEncryption.seal(
            plain, to: receiver.publicKey, info: info, authenticating: context, ephemeral: ephemeral
        )
        #expect(
            sealed
                == hex(
                    "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
                        + "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db"
                        + "21993c62ce81883d2dd1b51a28"))
        func opened(_ sealed: [UInt8], _ info: [UInt8], _ context: [UInt8]) -> [UInt8]? {
            HybridEncryption.open(sealed, with: receiver, info: info, authenticating: context)
        }
        #expect(opened(sealed, info, context) == plain)
        #expect(opened(sealed, info + [0], context) == nil)
        #expect(opened(sealed, info, context + [0]) == nil)
        #expect(
            HybridEncryption.open(sealed, with: ephemeral, info: info, authenticating: context)
                == nil)
        for place in sealed.indices {
            var changed = sealed
            // The highest bit of the ephemeral key is no part of it (RFC 7748, section 5), but it is
            // of the key schedule.
            changed[place] ^= 0x80
            #expect(opened(changed, info, context) == nil)
        }
        for count in 0..<sealed.count {
            #expect(opened(Array(sealed.prefix(count)), info, context) == nil)
        }
    }
}

// Random bytes, and a comparison that does not tell by its time where two secrets differ.

internal import COpenSSL

/// Bytes of the system's generator.
package func randomBytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    precondition(RAND_bytes(&bytes, Int32(count)) == 1, "the system's generator gives random bytes")
    return bytes
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
package func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    return CRYPTO_memcmp(left, right, left.count) == 0
}

// Addresses as people write them.

import Testing

@testable import Transport

struct EndpointTests {
    @Test(
        "addresses are read and written the same",
        arguments: [
            "127.0.0.1:4000", "[::1]:80", "[::]:0", "example.org:65535", "[fe80::1%lo]:1",
        ])
    func roundTrip(text: String) throws {
        #expect(try Endpoint(parsing: text).description == text)
    }

    @Test("the port may be left out where there is a default")
    func defaultPort() throws {
        #expect(try Endpoint(parsing: "host", defaultPort: 7) == .tcp(host: "host", port: 7))
        #expect(try Endpoint(parsing: "[::1]", defaultPort: 7) == .tcp(host: "::1", port: 7))
        #expect(throws: TransportError(.invalidAddress, "")) { try Endpoint(parsing: "host") }
    }

    @Test(
        "what is no address is refused with a reason",
        arguments: [
            "", ":80", "host:", "host:65536", "host:-1", "host:+1", "host:8o", "::1", "fe80::1:80",
            "[::1", "[::1]80", "[host]:80", "[127.0.0.1]:80", "a:b:c", "[]:1",
        ])
    func invalid(text: String) {
        let error = #expect(throws: TransportError.self) { try Endpoint(parsing: text) }
        #expect(error?.code == .invalidAddress)
        #expect(error?.description.contains("'\(text)' is not an address") == true)
    }

    @Test("numeric addresses, with scopes by number and by name")
    func numeric() {
        func shown(_ host: String) -> String? {
            RawAddress(host: host, port: 9)?.endpoint.description
        }
        #expect(shown("127.0.0.1") == "127.0.0.1:9")
        #expect(shown("::1") == "[::1]:9")
        #expect(shown("::ffff:10.0.0.1") == "10.0.0.1:9")
        // The loopback interface is number 1 on Linux.
        #expect(shown("fe80::1%1") == "[fe80::1%lo]:9")
        #expect(shown("fe80::1%lo") == "[fe80::1%lo]:9")
        #expect(shown("fe80::1%nosuch0") == nil)
        #expect(shown("fe80::1%") == nil)
        #expect(shown("fe80::1%0") == nil)
        #expect(shown("localhost") == nil)
    }
}

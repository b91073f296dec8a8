// swift-tools-version: 6.2
import PackageDescription

/// One settings block for every target. `STARLING_STRICT=1` (CI) turns warnings into errors.
let settings: [SwiftSetting] = {
    var all: [SwiftSetting] = [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ]
    if Context.environment["STARLING_STRICT"] == "1" {
        all.append(.treatAllWarnings(as: .error))
    }
    return all
}()

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: ["TestKit"] + dependencies, swiftSettings: settings)
}

/// The decoders under attack: replayed by `swift test`; with `STARLING_FUZZ=1` a libFuzzer program
/// in place of that (`Config/fuzz`).
let fuzzing: Target = {
    let path = "Tests/FuzzTests"
    let dependencies: [Target.Dependency] = [
        "TestKit", "Codec", "Wire", "Store", "Sync", "Transport", "Discovery", "Node", "SQLite",
        "CausalModel", "Values", "Trust", "Relay", "RelayProtocol", "RelayClient",
    ]
    guard Context.environment["STARLING_FUZZ"] == "1" else {
        return .testTarget(
            name: "FuzzTests", dependencies: dependencies, path: path,
            exclude: ["Corpus", "Driver.swift"], swiftSettings: settings)
    }
    // libFuzzer brings the function `main`.
    return .executableTarget(
        name: "starling-fuzz", dependencies: dependencies, path: path,
        exclude: ["Corpus", "ReplayTests.swift"],
        swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])])
}()

let package = Package(
    name: "starling",
    products: [
        .library(name: "Starling", targets: ["Starling"]),
        .executable(name: "starling", targets: ["StarlingCommand"]),
    ],
    targets: [
        // C libraries, each behind one door.
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CUV", providers: [.apt(["libuv1-dev"])]),
        .systemLibrary(name: "CDNSSD", providers: [.apt(["libavahi-compat-libdnssd-dev"])]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CQREncode", providers: [.apt(["libqrencode-dev"])]),
        .target(name: "CPlatform"),
        // Loaded when they are needed, as most nodes never do: libmicrohttpd-dev, libpq-dev,
        // libcurl4-openssl-dev.
        .target(name: "CLibrary"),
        .target(name: "CMicroHTTPD", dependencies: ["CLibrary"]),
        .target(name: "CPostgreSQL", dependencies: ["CLibrary"]),
        .target(name: "CCurl", dependencies: ["CLibrary"]),

        // Layers, lowest first: a module imports only modules above this line of it.
        module("Values", []),
        module("Threads", []),
        module("SQLite", ["CSQLite", "Values"]),
        module("CausalModel", ["Values"]),
        module("Codec", ["CausalModel", "Values", "CZstd", "CXXHash"]),
        module("Store", ["SQLite", "CausalModel", "Codec", "Values", "CPlatform"]),
        module("Wire", ["Codec", "CausalModel", "Values"]),
        module("Trust", ["COpenSSL"]),
        module("Transport", ["CUV", "CPlatform"]),
        module("RelayProtocol", []),
        module(
            "Relay",
            [
                "RelayProtocol", "SQLite", "Trust", "Values", "Threads", "CMicroHTTPD",
                "CPostgreSQL", "CPlatform",
            ]),
        module(
            "RelayClient",
            ["RelayProtocol", "Trust", "Codec", "Values", "Threads", "CCurl", "CPlatform"]),
        module("Discovery", ["Threads", "CDNSSD", "CPlatform"]),
        module("Sync", ["Store", "Wire", "Codec", "CausalModel", "Values", "RelayProtocol"]),
        module(
            "Node",
            [
                "Sync", "Store", "Wire", "Codec", "CausalModel", "SQLite", "Values", "Transport",
                "Discovery", "Trust", "RelayClient", "RelayProtocol", "CPlatform",
            ]),
        module("Starling", ["Node"]),
        .executableTarget(
            name: "StarlingCommand",
            dependencies: [
                "Starling", "Node", "Relay", "RelayProtocol", "CPlatform", "CQREncode",
            ],
            swiftSettings: settings),

        // Tests.
        .target(
            name: "TestKit", dependencies: ["CausalModel", "SQLite", "Values", "CPlatform"],
            path: "Tests/TestKit", swiftSettings: settings),
        tests("SQLiteTests", ["SQLite", "Values"]),
        tests("CausalModelTests", ["CausalModel", "Values"]),
        tests("CodecTests", ["Codec", "CausalModel", "Values"]),
        tests("CaptureTests", ["Store", "SQLite", "Values"]),
        tests("StoreTests", ["Store", "SQLite", "CausalModel", "Codec", "Values"]),
        .target(
            name: "TestNetwork",
            dependencies: [
                "TestKit", "Sync", "Store", "Codec", "CausalModel", "RelayProtocol",
            ],
            path: "Tests/TestNetwork", swiftSettings: settings),
        tests(
            "SyncTests",
            [
                "TestNetwork", "Sync", "Store", "Wire", "Codec", "CausalModel", "SQLite", "Values",
                "RelayProtocol",
            ]),
        .target(
            name: "CSimulatedDisk", dependencies: ["CSQLite"], path: "Tests/CSimulatedDisk"),
        .executableTarget(
            name: "starling-sim",
            dependencies: [
                "CSimulatedDisk", "TestKit", "TestNetwork", "Node", "Sync", "Store", "Codec",
                "CausalModel", "RelayProtocol", "SQLite", "Values",
            ],
            path: "Tests/Simulator", swiftSettings: settings),
        tests("TrustTests", ["Trust"]),
        tests("TransportTests", ["Transport"]),
        .executableTarget(
            name: "starling-probe", dependencies: ["Discovery", "CPlatform"], path: "Tests/Probe",
            swiftSettings: settings),
        tests("DiscoveryTests", ["Discovery", "starling-probe"]),
        tests(
            "NodeTests",
            [
                "Node", "Starling", "StarlingCommand", "Store", "SQLite", "Values", "CausalModel",
                "Trust", "Sync", "Discovery", "Transport",
            ]),
        .testTarget(
            name: "RelayTests",
            dependencies: [
                "TestKit", "Relay", "RelayProtocol", "StarlingCommand", "Node", "CPlatform",
            ], exclude: ["client.py"], swiftSettings: settings),
        tests(
            "RelayClientTests",
            ["RelayClient", "RelayProtocol", "Relay", "Trust", "Values", "CPlatform"]),
        fuzzing,
        tests("HouseTests", []),
    ]
)

// swift-tools-version: 6.2
import PackageDescription

// The plan of the house: a target is a wall (docs/ARCHITECTURE.md). What a target may not see is not in its list.

let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

// Kernels are C at -O3 in every configuration: a debug build that computes at -O0 tests something nobody runs.
let optimized: [CSetting] = [.unsafeFlags(["-O3", "-ffunction-sections", "-fvisibility=hidden"])]

// Swift's libraries go into the binary by these flags of its own and not by --static-swift-stdlib, which would compile
// everything against modules among which swift-testing's is not: product and tests then share one build.
let `static` = [
    "-static-stdlib", "-lFoundationEssentials", "-l_FoundationCShims", "-l_FoundationCollections",
    "-Xlinker", "--gc-sections",
]

let package = Package(
    name: "tiankong",
    products: [.executable(name: "tiankong", targets: ["tiankong"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        // Without its traits Hummingbird needs FoundationEssentials alone: full Foundation is 45 MB more.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        // Said and read everywhere.
        .target(name: "Explain", swiftSettings: swift),
        .target(name: "StrictJSON", dependencies: ["Explain"], swiftSettings: swift),
        .target(name: "CSyscalls"),
        .target(name: "Disk", dependencies: ["Explain"], swiftSettings: swift),

        // C and what is inside the binary.
        .target(name: "CKernels", cSettings: optimized),
        .target(name: "CResources", exclude: ["page", "openapi.json"]),
        .target(name: "Resources", dependencies: ["CResources", "Disk"], swiftSettings: swift),
        .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),

        // From files to answers.
        .target(
            name: "ModelFormat",
            dependencies: ["Explain", "StrictJSON", "Disk", "CSyscalls", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: swift),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CPatchCodec", cSettings: optimized),
        .target(
            name: "Signing", dependencies: ["Explain", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: swift),
        .target(
            name: "PatchFormat", dependencies: ["Explain", "StrictJSON", "Disk", "ModelFormat", "Signing", "CZstd", "CPatchCodec"],
            swiftSettings: swift, linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libzstd.a"])]),
        .target(name: "Tokenizer", dependencies: ["Explain"], swiftSettings: swift),
        .target(name: "Terms", dependencies: ["Explain", "Disk"], swiftSettings: swift),
        .target(
            name: "Engine", dependencies: ["Explain", "Disk", "ModelFormat", "Tokenizer", "CKernels", "CSyscalls"],
            swiftSettings: swift),
        .target(
            name: "ModelStore", dependencies: ["Explain", "StrictJSON", "Disk", "ModelFormat", "PatchFormat"], swiftSettings: swift),

        .target(name: "Evaluation", dependencies: ["Explain", "StrictJSON", "Disk"], swiftSettings: swift),

        // What happens to a patch.
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .target(
            name: "Ledger", dependencies: ["Explain", "StrictJSON", "Disk", "ModelFormat", "CSQLite"], swiftSettings: swift,
            linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libsqlite3.a"]), .linkedLibrary("m")]),
        .target(name: "CInotify"),
        .target(name: "Watch", dependencies: ["CInotify"], swiftSettings: swift),
        .target(
            name: "Rollout",
            dependencies: [
                "Explain", "StrictJSON", "Disk", "ModelFormat", "Signing", "PatchFormat", "Engine", "ModelStore", "Ledger",
                "Watch", "Evaluation",
            ],
            swiftSettings: swift),

        // The service and its commands.
        .target(
            name: "ApplianceConfiguration", dependencies: ["Explain", "Disk", "CYAML"], swiftSettings: swift,
            linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libyaml.a"])]),
        .target(
            name: "Appliance",
            dependencies: [
                "Explain", "StrictJSON", "Disk", "ModelFormat", "Tokenizer", "Engine", "ModelStore", "ApplianceConfiguration",
                "Resources", "Signing", "PatchFormat", "Ledger", "Watch", "Rollout", "Terms", "Evaluation",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: swift),
        .executableTarget(
            name: "tiankong", dependencies: ["Appliance"], swiftSettings: swift, linkerSettings: [.unsafeFlags(`static`)]),

        // Tests read like sentences; Acceptance/ drives the built binary from outside.
        .target(name: "TestSupport", dependencies: ["StrictJSON"], path: "Tests/TestSupport", swiftSettings: swift),
        .target(name: "CMallocCount", path: "Tests/CMallocCount"),
        .testTarget(name: "StrictJSONTests", dependencies: ["StrictJSON"], swiftSettings: swift),
        .testTarget(name: "DiskTests", dependencies: ["Disk", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "ApplianceConfigurationTests", dependencies: ["ApplianceConfiguration", "Disk", "TestSupport"],
            swiftSettings: swift),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels"], swiftSettings: swift),
        .testTarget(
            name: "ModelFormatTests", dependencies: ["Explain", "ModelFormat", "Disk", "StrictJSON", "TestSupport"],
            swiftSettings: swift),
        .testTarget(name: "TokenizerTests", dependencies: ["Tokenizer", "StrictJSON", "TestSupport"], swiftSettings: swift),
        .testTarget(name: "TermsTests", dependencies: ["Terms", "Disk", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "EngineTests",
            dependencies: ["Engine", "ModelFormat", "Disk", "Tokenizer", "StrictJSON", "TestSupport", "CMallocCount"],
            swiftSettings: swift),
        .testTarget(
            name: "ModelStoreTests",
            dependencies: ["ModelStore", "PatchFormat", "ModelFormat", "Disk", "StrictJSON", "TestSupport"],
            swiftSettings: swift),
        .testTarget(name: "EvaluationTests", dependencies: ["Evaluation", "StrictJSON", "Explain", "Disk", "TestSupport"], swiftSettings: swift),
        .testTarget(name: "SigningTests", dependencies: ["Signing", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "PatchFormatTests",
            dependencies: ["PatchFormat", "Signing", "ModelFormat", "Disk", "StrictJSON", "TestSupport"],
            swiftSettings: swift),
        .testTarget(name: "WatchTests", dependencies: ["Watch", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "LedgerTests", dependencies: ["Ledger", "StrictJSON", "Disk", "CSQLite", "TestSupport"], swiftSettings: swift),
        .testTarget(
            name: "RolloutTests",
            dependencies: [
                "Rollout", "Engine", "ModelStore", "PatchFormat", "Signing", "ModelFormat", "Ledger", "Disk", "StrictJSON",
                "Evaluation", "Explain", "TestSupport",
            ],
            swiftSettings: swift),
    ]
)

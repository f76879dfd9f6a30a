import Foundation
public import StrictJSON

/// Where test data is.
public enum Places {
    /// The repository's root.
    public static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    public static let fixtures = root + "/Tests/Fixtures"
    public static let defaultModel = root + "/packaging/default-model"

    /// Further reference answers, where somebody has them (`TIANKONG_GOLDEN`).
    public static let golden: String? = ProcessInfo.processInfo.environment["TIANKONG_GOLDEN"]

    /// What `mini.jsonl` of it was computed with: the first default model.
    public static let goldenModel: String? = golden.map { $0 + "/../models/mini" }
        .flatMap { FileManager.default.fileExists(atPath: $0 + "/config.json") ? $0 : nil }
}

/// The objects of a `.jsonl` file.
public func objects(in path: String) throws -> [JSON] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    return try data.split(separator: 0x0A).map { try JSON(parsing: $0) }
}

/// A folder of its own for one test, removed with its owner.
public final class TemporaryFolder: Sendable {
    public let path: String

    public init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("tiankong-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

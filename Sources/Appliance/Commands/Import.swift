import ArgumentParser
import ApplianceConfiguration
import Disk
import Explain
import Glibc
import ModelFormat
import ModelStore
import Rollout
import StrictJSON
import Synchronization

struct Import: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Imports a Hugging Face folder as the version to serve.", zh: "导入 Hugging Face 目录作为线上版。"),
            discussion: say(
                "The folder holds config.json, vocab.txt or tokenizer.json, and model.safetensors (or shards with their index).",
                zh: "目录中应有 config.json、vocab.txt 或 tokenizer.json，以及 model.safetensors（或分片及其索引）。")
                + "\n\n" + say("Example:", zh: "例：") + "\n  tiankong import ./bert-base-chinese --release bert-base-chinese")
    }

    @Argument(help: ArgumentHelp(say("The folder.", zh: "目录。"), valueName: "folder"))
    var folder: String

    @Option(help: ArgumentHelp(say("The version's name; the folder's unless told.", zh: "发布号，默认用目录名。"), valueName: "name"))
    var release: String?

    @Option(help: ArgumentHelp(
        say("What a running service asks of it: careful, normal or immediate; as configured unless told.", zh: "运行中的服务如何试行：careful、normal 或 immediate，默认按配置。"),
        valueName: "policy"))
    var policy: String?

    @Flag(help: ArgumentHelp(say("Print JSON.", zh: "输出 JSON。")))
    var json = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        if let policy, Policy(rawValue: policy) == nil {
            let all = Policy.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError(say("--policy: expected one of \(all), found \(policy)", zh: "--policy：应为 \(all) 之一，实为 \(policy)"))
        }
        if let release, release.utf8.count > 100 || !release.isName {
            throw ValidationError(say("--release: expected 1 to 100 bytes on one line", zh: "--release：应为单行，1 到 100 字节"))
        }
    }

    func run() async throws {
        let settings = try place.load().settings
        let contents = try ModelContents(huggingFace: folder)
        let summary: JSON
        switch await takeIn(contents, Paths().state(settings)) {
        case .success(let version): summary = version.listed(role: "live")
        case .failure(let error):
            guard error.isOfService, let socket = presentSocket(settings) else { throw error }
            summary = try await ask(socket)
        }
        if json { return put(summary.indented) }
        let name = summary["release"]?.string ?? "?"
        put(say("\(name) is the version to serve", zh: "线上版已设为 \(name)"))
        put("  " + say("version", zh: "版本") + " \(summary["version"]?.string ?? "?")")
    }

    /// In this process, where nobody else has the store.
    private func takeIn(_ contents: ModelContents, _ state: String) async -> Result<VersionManifest, StoreError> {
        let bar = ProgressBar(say("importing", zh: "导入"))
        defer { bar.end() }
        do throws(StoreError) {
            let store = try ModelStore(opening: state)
            let before = try store.current()
            let version = try await store.add(
                contents, release: release, fallback: folderName, origin: .imported, created: WallClock.timestamp(),
                progress: bar.show)
            await store.keepPacked(version, on: .pool)
            if before != version.fingerprint { Rollout.recordImport(state: state, from: before, to: version) }
            return .success(version)
        } catch { return .failure(error) }
    }

    /// A service has the store: it takes the folder in, like a patch.
    private func ask(_ socket: String) async throws -> JSON {
        var members: [JSON.Member] = [.init("folder", .string(realFolder))]
        if let release { members.append(.init("release", .string(release))) }
        if let policy { members.append(.init("policy", .string(policy))) }
        let client = try await Client(socket: socket)
        let reply = try await client.post("/v1/import", .object(members))
        guard reply.status == 200 else { throw Problem(reply.json) }
        return reply.json
    }

    private var realFolder: String {
        guard let real = realpath(folder, nil) else { return folder }
        defer { free(real) }
        return String(cString: real)
    }

    private var folderName: String { realFolder.split(separator: "/").last.map { String($0) } ?? "model" }
}

extension StoreError {
    /// Somebody else has the store, or it is not ours to write to.
    fileprivate var isOfService: Bool {
        switch self {
        case .inUse: true
        case .disk(.system(_, _, let code)): code == EACCES || code == EPERM || code == EROFS
        default: false
        }
    }
}

/// On a terminal only, and only for what takes longer than a second.
final class ProgressBar: Sendable {
    private let label: String
    private let started = ContinuousClock.now
    private let isTerminal = isatty(2) == 1
    private let shown = Mutex(false)

    init(_ label: String) {
        self.label = label
    }

    @Sendable func show(_ done: Int, of total: Int) {
        guard isTerminal, total > 0, ContinuousClock.now - started > .seconds(1) else { return }
        let filled = done * 30 / total
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
        shown.withLock { $0 = true }
        let bytes = Array("\r\(label) \(bar) \(done * 100 / total)%".utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }

    func end() {
        if shown.withLock({ $0 }) { tell("") }
    }
}

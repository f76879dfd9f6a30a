import ArgumentParser
import ApplianceConfiguration
import Disk
import Engine
import Explain
import Glibc
import Logging
import ModelFormat
import ModelStore

struct Serve: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            abstract: say("Serves, in the foreground.", zh: "在前台提供服务。"),
            discussion: say("Example:", zh: "例：")
                + "\n  tiankong serve --listen 127.0.0.1:8470 --state ~/.local/state/tiankong")
    }

    @OptionGroup var place: PlaceOptions

    @Option(
        help: ArgumentHelp(
            say("An address to listen on; none for the socket alone. May be repeated.", zh: "监听地址，可重复；none 表示只用套接字。"),
            valueName: "host:port"))
    var listen: [String] = []

    @Option(help: ArgumentHelp(say("How many threads compute.", zh: "计算线程数。"), valueName: "n"))
    var threads: Int?

    func run() async throws {
        let loaded = try settings()
        let settings = loaded.settings
        LoggingSystem.bootstrap { _ in Journal(level: Logger.Level(settings.log.level)) }
        let logger = Logger(label: "tiankong")
        for variable in loaded.unknownVariables {
            logger.warning("unknown variable, ignored", metadata: ["variable": "\(variable)"])
        }
        let store = try ModelStore(opening: Paths().state(settings))
        let appliance = Appliance(
            settings: settings, pool: try WorkerPool.configured(settings), logger: logger)
        try await Listeners(appliance: appliance, socket: Paths().socket(settings)).run {
            try await warm(appliance, store)
        }
    }

    private func settings() throws -> Loaded {
        var loaded = try place.load()
        if let threads {
            guard (1...WorkerPool.mostThreads).contains(threads) else {
                throw CommandError.flag(name: "--threads", expected: "1 to \(WorkerPool.mostThreads)", found: "\(threads)")
            }
            loaded.settings.model.threads = threads
        }
        if !listen.isEmpty {
            loaded.settings.listen = try listen.filter { $0 != "none" }.map { text in
                guard let endpoint = Endpoint(text) else {
                    throw CommandError.flag(name: "--listen", expected: "HOST:PORT or none", found: text)
                }
                return endpoint
            }
        }
        return loaded
    }

    /// Loads the current version, the embedded one at the first start, and answers a first question with it.
    private func warm(_ appliance: Appliance, _ store: ModelStore) async throws {
        let manifest: VersionManifest
        if let current = try store.current() {
            manifest = try store.manifest(of: current)
        } else {
            manifest = try await store.add(
                try ModelContents.embedded(), release: nil, fallback: embeddedRelease, origin: .embedded,
                created: Clock.timestamp())
        }
        let version = try Version(manifest, in: store, pool: appliance.pool)
        _ = try await version.fillMask.answer(Question("[MASK]"))
        appliance.live.go(version)
        appliance.logger.info(
            "ready",
            metadata: [
                "release": "\(version.release)", "version": "\(version.fingerprint)", "isa": "\(appliance.pool.isa.rawValue)",
                "threads": "\(appliance.pool.threads)", "precision": "\(appliance.settings.model.precision.rawValue)",
            ])
    }
}

extension Logger.Level {
    init(_ level: Settings.Log.Level) {
        switch level {
        case .debug: self = .debug
        case .info: self = .info
        case .notice: self = .notice
        case .warning: self = .warning
        case .error: self = .error
        }
    }
}

import ArgumentParser
import ApplianceConfiguration
import Disk
import Engine
import Explain
import Glibc
import Logging
import ModelFormat
import ModelStore
import Rollout
import Synchronization

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

    @Option(help: ArgumentHelp(say("The drop folder, where patches are copied in.", zh: "投放目录，补丁复制到此。"), valueName: "folder"))
    var drop: String?

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
        let state = Paths().state(settings)
        let store = try ModelStore(opening: state)
        let pool = try WorkerPool.configured(settings)
        let terms = SiteTerms(folder: settings.terms)
        let look = LateCall()
        var rolloutSettings = Rollout.Settings(settings, state: state)
        (rolloutSettings.alsoWatched, rolloutSettings.look) = ([settings.terms], { look.call() })
        let shadow = ShadowProcess(settings: settings, state: state, threads: pool.threads)
        rolloutSettings.shadow = { shadow.cast($0) }
        let rollout = Rollout(rolloutSettings, store: store, pool: pool, note: logger.note)
        let appliance = Appliance(settings: settings, pool: pool, rollout: rollout, terms: terms, logger: logger)
        look.set(appliance.lookAtTerms)
        appliance.hooks.begin(rollout.events)
        if settings.trust.unsigned == .allow {
            logger.warning("trust.unsigned is allow: anyone who can write to the drop folder decides what is served")
        }
        try await Listeners(appliance: appliance, socket: Paths().socket(settings)).run(
            warm: {
                // Before anything answers: whoever is told that we are ready is answered with them.
                appliance.lookAtTerms()
                try await rollout.start()
                appliance.dressVersions()
                appliance.tellReady()
            }, keep: { await rollout.run() },
            end: {
                await rollout.stop()
                await appliance.hooks.end()
            })
    }

    private func settings() throws -> Loaded {
        var loaded = try place.load()
        if let threads {
            guard (1...WorkerPool.mostThreads).contains(threads) else {
                throw CommandError.flag(name: "--threads", expected: "1 to \(WorkerPool.mostThreads)", found: "\(threads)")
            }
            loaded.settings.model.threads = threads
        }
        if let drop { loaded.settings.drop.path = drop }
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
}

/// What the rollout is to call is made after it.
private final class LateCall: Sendable {
    private let body = Mutex<(@Sendable () -> Void)?>(nil)

    func set(_ body: @escaping @Sendable () -> Void) { self.body.withLock { $0 = body } }
    func call() { body.withLock { $0 }?() }
}

extension Appliance {
    fileprivate func tellReady() {
        guard let version = rollout.models.live else { return }
        logger.info(
            "ready",
            metadata: [
                "release": "\(version.release)", "version": "\(version.fingerprint)", "isa": "\(pool.isa.rawValue)",
                "threads": "\(pool.threads)", "precision": "\(settings.model.precision.rawValue)",
            ])
    }
}

extension Rollout.Settings {
    /// As the configuration has it.
    init(_ settings: Settings, state: String) {
        self.init(
            state: state, drop: settings.drop.path ?? state + "/drop", allowedSigners: settings.trust.allowedSigners,
            packagedRelease: embeddedRelease, packaged: ModelContents.embedded)
        settle = settings.drop.settle
        epochJump = settings.trust.epochJump
        allowsUnsigned = settings.trust.unsigned == .allow
        policy = Policy(settings.rollout.policy)
        (stages, watchAfterCommit, suitesEvery) = (
            settings.rollout.stages, settings.rollout.watchAfterCommit, settings.rollout.suitesEvery)
        deadline = settings.limits.deadline / .milliseconds(1)
        precision = Precision(settings.model.precision)
    }
}

extension Policy {
    init(_ policy: Settings.Rollout.Policy) {
        switch policy {
        case .careful: self = .careful
        case .normal: self = .normal
        case .immediate: self = .immediate
        }
    }
}

extension Logger {
    /// What the rollout has to say.
    fileprivate var note: Rollout.Note {
        { weight, message, fields in
            let level: Logger.Level =
                switch weight {
                case .info: .info
                case .warning: .warning
                case .error: .error
                }
            log(level: level, "\(message)", metadata: Dictionary(fields.map { ($0, "\($1)") }) { first, _ in first })
        }
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

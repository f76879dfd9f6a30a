import ArgumentParser
import ApplianceConfiguration
import Disk
import Engine

/// Where the service and its state are; the same flags on every command that needs them.
struct PlaceOptions: ParsableArguments {
    @Option(help: ArgumentHelp(say("The configuration file.", zh: "配置文件。"), valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp(say("The state folder.", zh: "数据目录。"), valueName: "folder"))
    var state: String?

    @Option(help: ArgumentHelp(say("The service's socket.", zh: "服务的套接字。"), valueName: "path"))
    var socket: String?

    /// File, then environment, then these flags.
    func load() throws -> Loaded {
        let environment = Paths.processEnvironment
        var loaded = try Settings.load(file: config ?? environment["TIANKONG_CONFIG"], environment: environment)
        if let state { loaded.settings.state = state }
        if let socket { loaded.settings.socket = socket }
        return loaded
    }
}

extension WorkerPool {
    /// As the configuration and `TIANKONG_ISA` have it.
    static func configured(_ settings: Settings) throws -> WorkerPool {
        var isa = ISA.best
        if let forced = Paths.processEnvironment["TIANKONG_ISA"], !forced.isEmpty {
            guard let named = ISA(rawValue: forced) else {
                throw CommandError.flag(
                    name: "TIANKONG_ISA", expected: ISA.allCases.map(\.rawValue).joined(separator: ", "), found: forced)
            }
            isa = named
        }
        return try WorkerPool(threads: settings.model.threads, queue: settings.limits.queue, isa: isa)
    }
}

/// The first socket that is there, if any.
func presentSocket(_ settings: Settings) -> String? {
    Paths().sockets(settings).first { Disk().exists($0) }
}

import ApplianceConfiguration
import Disk
import Engine
import Explain
import Glibc
import Hummingbird
import Logging
import NIOPosix
import ServiceLifecycle
import Synchronization
import UnixSignals

/// The socket and every TCP address at once, one responder behind them all. A listener that ends ends the service:
/// systemd starts it again, which is better than living half deaf.
struct Listeners: Sendable {
    let appliance: Appliance
    let socket: String

    /// Idle keep-alive connections are closed after this.
    private static let idle: Duration = .seconds(60)

    /// Serves until SIGTERM or SIGINT, and 20 seconds more for requests that run.
    ///
    /// - Parameters:
    ///   - warm: runs beside the listeners; what it throws ends the service.
    ///   - keep: runs after it, until `end` is called.
    func run(
        warm: @escaping @Sendable () async throws -> Void, keep: @escaping @Sendable () async -> Void,
        end: @escaping @Sendable () async -> Void
    ) async throws {
        let lock = try claimSocket()
        defer {
            unlink(socket)
            _ = lock
        }
        let failure = FirstFailure()
        let warming = Warming(body: { try await failure.keeping(warm) }, keep: keep, end: end)
        let servers = Side(
            services: [server(.unixDomainSocket(path: socket), named: socket)]
                + appliance.settings.listen.map { server(.hostname($0.host, port: $0.port), named: "\($0)") },
            failure: failure)
        var configuration = ServiceGroupConfiguration(
            services: [.init(service: servers), .init(service: warming)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
        configuration.maximumGracefulShutdownDuration = .seconds(20)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch {
            throw failure.error ?? error
        }
        appliance.pool.stop()
        appliance.logger.info("stopped")
    }

    /// The libraries' own chatter is for those who debug.
    private var quiet: Logger {
        var logger = appliance.logger
        logger.logLevel = max(logger.logLevel, .critical)
        return logger
    }

    private func server(_ address: BindAddress, named name: String) -> any Service {
        let path = socket
        let connections = appliance.connections
        let logger = appliance.logger
        return NamedServer(
            name: name,
            application: Application(
                responder: Routes.router(appliance).buildResponder(),
                server: .http1(
                    configuration: .init(
                        additionalChannelHandlers: [ConnectionHandler(connections)], idleTimeout: .init(Self.idle))),
                configuration: .init(address: address, serverName: "tiankong"),
                onServerRunning: { channel in
                    // Asking needs no group: the socket is for everyone on the machine.
                    if channel.localAddress?.pathname != nil { chmod(path, 0o666) }
                    let port = channel.localAddress?.port
                    let place = channel.localAddress?.pathname
                        ?? channel.localAddress?.ipAddress.flatMap { host in port.map { Endpoint(host: host, port: $0).description } }
                    logger.info("listening", metadata: ["address": "\(place ?? name)"])
                },
                logger: quiet))
    }

    /// Takes the lock beside the socket: binding would unlink the socket of a service that runs.
    private func claimSocket() throws -> FileLock {
        if let slash = socket.lastIndex(of: "/"), slash != socket.startIndex {
            try Disk().makeFolder(String(socket[..<slash]))
        }
        do {
            return try FileLock(socket + ".lock")
        } catch DiskError.locked {
            throw CommandError.alreadyServing(socket: socket)
        }
    }
}

/// Services side by side, told to stop at the same moment.
private struct Side: Service {
    let services: [any Service]
    let failure: FirstFailure

    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for service in services { group.addTask { try await failure.keeping(service.run) } }
        }
    }
}

/// What went wrong first is why the service ends; what it was doing meanwhile then fails as well, and says less.
private final class FirstFailure: Sendable {
    private let first = Mutex<(any Error)?>(nil)

    var error: (any Error)? { first.withLock { $0 } }

    func keeping(_ body: () async throws -> Void) async throws {
        do { try await body() } catch {
            first.withLock { $0 = $0 ?? error }
            throw error
        }
    }
}

/// A server whose failure to listen names the address.
private struct NamedServer<Inner: Service>: Service {
    let name: String
    let application: Inner

    func run() async throws {
        do {
            try await withTaskExecutorPreference(LoopExecutor(MultiThreadedEventLoopGroup.singleton.any())) { try await application.run() }
        } catch let error as CancellationError { throw error } catch {
            throw CommandError.listener(address: name, reason: "\(error)")
        }
    }
}

/// Runs once, then keeps on until the end.
private struct Warming: Service {
    let body: @Sendable () async throws -> Void
    let keep: @Sendable () async -> Void
    let end: @Sendable () async -> Void

    func run() async throws {
        try await body()
        let keeping = Task(operation: keep)
        try? await gracefulShutdown()
        await end()
        await keeping.value
    }
}

import Hummingbird
import NIOCore
import Synchronization

/// What is known of a request beside its head and body.
struct Context: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel
    let arrived = ContinuousClock.now
    let requestID: String

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
        requestID = Self.nextID()
    }

    /// Over the local socket, where the kernel has already said who may connect.
    var isLocalSocket: Bool { channel.localAddress?.pathname != nil }

    /// The address of who connected; nil on the local socket.
    var peer: String? { channel.remoteAddress?.ipAddress }

    private static let counter = Atomic<UInt64>(0)
    private static let process = UInt32.random(in: .min ... .max)

    /// Unique within the appliance's life: a random word a process, and a count.
    private static func nextID() -> String {
        String(process, radix: 16) + "-" + String(counter.add(1, ordering: .relaxed).newValue, radix: 16)
    }
}

extension Context {
    /// Runs `body` for at most `time` after the request's arrival; then it is cancelled, and `late` thrown once it ended.
    ///
    /// The timer is the event loop's: taken back, it is gone. One of Task.sleep would stay in memory until its time
    /// came, and a busy minute's requests leave tens of thousands.
    func within<Value: Sendable>(
        _ time: Duration, else late: Problem, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let isLate = Late()
        let work = Task(executorPreference: LoopExecutor(channel.eventLoop), operation: body)
        let timer = channel.eventLoop.scheduleTask(in: TimeAmount(time - (.now - arrived))) {
            isLate.flag.store(true, ordering: .releasing)
            work.cancel()
        }
        defer { timer.cancel() }
        let outcome = await withTaskCancellationHandler {
            await work.result
        } onCancel: {
            work.cancel()
        }
        // What a cancelled body returns is not whole, whatever it looks like.
        if isLate.flag.load(ordering: .acquiring) { throw late }
        return try outcome.get()
    }

    private final class Late: Sendable {
        let flag = Atomic(false)
    }
}

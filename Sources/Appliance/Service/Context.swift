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

import HTTPTypes
import NIOCore
import NIOHTTPTypes
import Synchronization

/// All open connections of all listeners, oldest silence first out: at the cap the one that has been idle longest is
/// closed, so that ten thousand silent clients lock nobody out. One that waits for its answer is not idle.
final class Connections: Sendable {
    private struct Entry {
        let channel: any Channel
        var busy = 0
        var since = ContinuousClock.now
        var whenLeft: (@Sendable () -> Void)?
    }

    private let limit: Int
    private let entries = Mutex<[ObjectIdentifier: Entry]>([:])

    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { entries.withLock { $0.count } }

    func opened(_ channel: any Channel) {
        let evicted = entries.withLock { entries -> (any Channel)? in
            entries[ObjectIdentifier(channel)] = Entry(channel: channel)
            guard entries.count > limit else { return nil }
            // All busy: the newcomer itself is the only one that can go.
            let idle = entries.filter { $0.value.busy == 0 && $0.key != ObjectIdentifier(channel) }
            guard let oldest = idle.min(by: { $0.value.since < $1.value.since }) else { return channel }
            entries[oldest.key] = nil
            return oldest.value.channel
        }
        evicted?.close(promise: nil)
    }

    func closed(_ channel: any Channel) {
        let entry = entries.withLock { $0.removeValue(forKey: ObjectIdentifier(channel)) }
        entry?.whenLeft?()
    }

    /// The other side sends nothing any more: who only listens is as good as gone.
    func left(_ channel: any Channel) {
        entries.withLock { $0[ObjectIdentifier(channel)]?.whenLeft }?()
    }

    /// Once, where it has left already; else whenever it leaves, until somebody asks for something else.
    func whenLeft(_ channel: any Channel, _ body: (@Sendable () -> Void)?) {
        let isThere = entries.withLock { entries in
            entries[ObjectIdentifier(channel)]?.whenLeft = body
            return entries[ObjectIdentifier(channel)] != nil
        }
        if !isThere { body?() }
    }

    /// - Parameter step: 1 when a request began, −1 when its answer ended.
    func busy(_ channel: any Channel, _ step: Int) {
        entries.withLock { entries in
            entries[ObjectIdentifier(channel)]?.busy += step
            entries[ObjectIdentifier(channel)]?.since = .now
        }
    }
}

/// Tells `Connections` what one connection does.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let connections: Connections

    init(_ connections: Connections) {
        self.connections = connections
    }

    func handlerAdded(context: ChannelHandlerContext) {
        connections.opened(context.channel)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connections.closed(context.channel)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        connections.closed(context.channel)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { connections.left(context.channel) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head = unwrapInboundIn(data) { connections.busy(context.channel, 1) }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { connections.busy(context.channel, -1) }
        context.write(data, promise: promise)
    }
}

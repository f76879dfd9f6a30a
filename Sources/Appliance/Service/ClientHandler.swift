import NIOCore
import NIOHTTP1
import Synchronization

/// The reply that a connection waits for; at most one at a time.
final class Exchange: Sendable {
    private enum State {
        case idle
        case waiting(EventLoopPromise<(Int, ByteBuffer)>)
        case closed
    }
    private let state = Mutex<State>(.idle)

    func expect(_ promise: EventLoopPromise<(Int, ByteBuffer)>) {
        let isClosed = state.withLock { state in
            if case .closed = state { return true }
            state = .waiting(promise)
            return false
        }
        if isClosed { promise.fail(ChannelError.alreadyClosed) }
    }

    func finish(_ outcome: Result<(Int, ByteBuffer), any Error>, closing: Bool) {
        let promise = state.withLock { state -> EventLoopPromise<(Int, ByteBuffer)>? in
            defer { state = closing ? .closed : .idle }
            if case .waiting(let promise) = state { return promise }
            return nil
        }
        promise?.completeWith(outcome)
    }
}

/// Collects one reply after the other.
final class ReplyHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let exchange: Exchange
    private var status = 0
    private var body = ByteBuffer()

    init(_ exchange: Exchange) {
        self.exchange = exchange
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            status = Int(head.status.code)
            body = ByteBuffer()
        case .body(var part): body.writeBuffer(&part)
        case .end: exchange.finish(.success((status, body)), closing: false)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        exchange.finish(.failure(ChannelError.eof), closing: true)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        exchange.finish(.failure(error), closing: true)
        context.close(promise: nil)
    }
}

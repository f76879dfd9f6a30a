import Explain
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import StrictJSON

/// One connection to a service's local socket, for one request after the other.
struct Client: ~Copyable {
    struct Reply {
        let status: Int
        let json: JSON
    }

    enum Failure: Explained {
        /// There is a socket, and nobody behind it.
        case refused(socket: String)
        case noPermission(socket: String)
        case lost(socket: String, reason: String)

        var message: Bilingual {
            switch self {
            case .refused(let socket): Bilingual("\(socket): nobody answers", zh: "\(socket)：无人应答")
            case .noPermission(let socket): Bilingual("\(socket): no permission to connect", zh: "\(socket)：没有连接权限")
            case .lost(let socket, let reason):
                Bilingual("\(socket): the connection broke: \(reason)", zh: "\(socket)：连接中断：\(reason)")
            }
        }

        var hint: Bilingual? {
            switch self {
            case .refused, .lost:
                Bilingual("is the service running? tiankong doctor tells", zh: "服务是否在运行？可用 tiankong doctor 检查")
            case .noPermission: Bilingual("check the permissions of the socket", zh: "请检查套接字的权限")
            }
        }

        var exit: Exit {
            if case .noPermission = self { .noPermission } else { .noService }
        }
    }

    private let channel: any Channel
    private let exchange: Exchange
    private let socket: String

    init(socket: String) async throws(Failure) {
        let exchange = Exchange()
        do {
            channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(ReplyHandler(exchange))
                    }
                }
                .connect(unixDomainSocketPath: socket).get()
        } catch let error as IOError where error.errnoCode == EACCES || error.errnoCode == EPERM {
            throw .noPermission(socket: socket)
        } catch {
            throw .refused(socket: socket)
        }
        self.exchange = exchange
        self.socket = socket
    }

    deinit { channel.close(promise: nil) }

    func get(_ path: String) async throws(Failure) -> Reply {
        try await send(.GET, path, nil)
    }

    func post(_ path: String, _ json: JSON) async throws(Failure) -> Reply {
        try await send(.POST, path, json)
    }

    private func send(_ method: HTTPMethod, _ path: String, _ json: JSON?) async throws(Failure) -> Reply {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: path)
        head.headers.add(name: "host", value: "localhost")
        var body: ByteBuffer?
        if let json {
            var bytes: [UInt8] = []
            json.write(to: &bytes)
            head.headers.add(name: "content-type", value: "application/json")
            head.headers.add(name: "content-length", value: "\(bytes.count)")
            body = ByteBuffer(bytes: bytes)
        }
        let reply = channel.eventLoop.makePromise(of: (Int, ByteBuffer).self)
        do {
            exchange.expect(reply)
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            if let body { channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil) }
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            let (status, text) = try await reply.futureResult.get()
            return Reply(status: status, json: try text.withUnsafeReadableBytes { try JSON(parsing: $0) })
        } catch {
            throw .lost(socket: socket, reason: "\(error)")
        }
    }
}

import Explain
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTPTypes
import Rollout
import StrictJSON

extension HTTPField.Name {
    static let requestID = HTTPField.Name("X-Request-Id")!
    static let version = HTTPField.Name("X-Tiankong-Version")!
    static let client = HTTPField.Name("X-Tiankong-Client")!
    static let forwardedFor = HTTPField.Name("X-Forwarded-For")!
    static let contentTypeOptions = HTTPField.Name("X-Content-Type-Options")!
    static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
}

/// The outermost layer: ids, error bodies, counting and the log line. Nothing of a request's text passes through it.
struct Envelope: RouterMiddleware {
    let appliance: Appliance

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var response: Response
        var failure: ErrorCode?
        // The first language named decides; who names none is a program.
        let language: Language = request.headers[.acceptLanguage]?.lowercased().hasPrefix("zh") == true ? .chinese : .english
        do {
            try Access.check(request, context, appliance)
            response = try await next(request, context)
        } catch let problem as Problem {
            failure = problem.code
            response = Self.response(problem, context, language)
        } catch let error as any HTTPResponseError where error.status == .notFound {
            let problem = Self.notFound(request)
            failure = problem.code
            response = Self.response(problem, context, language)
        } catch is CancellationError {
            failure = .deadlineExceeded
            response = Self.response(Problem(.deadlineExceeded, .init("given up", zh: "已取消")), context, language)
        } catch {
            // Nothing we throw ends here: the log says what it was, the asker only that it is our fault.
            appliance.logger.error("unexpected error", metadata: ["error": "\(error)", "request": "\(context.requestID)"])
            failure = .internal
            let problem = Problem(.internal, .init("something went wrong inside", zh: "内部错误"))
            response = Self.response(problem, context, language)
        }
        if let failure { appliance.metrics.error(failure) }
        response.headers[.requestID] = context.requestID
        response.headers[.contentTypeOptions] = "nosniff"
        // Whoever answered has said by which version; else it is the live one.
        if response.headers[.version] == nil, let version = appliance.rollout.models.live {
            response.headers[.version] = "\(version.fingerprint)"
        }
        account(for: request, response, context, failure)
        return response
    }

    private func account(for request: Request, _ response: Response, _ context: Context, _ failure: ErrorCode?) {
        let took = ContinuousClock.now - context.arrived
        let route = context.endpointPath ?? "other"
        appliance.metrics.request(route, status: response.status.code, took: took)
        appliance.logger.debug(
            "request",
            metadata: [
                "id": "\(context.requestID)", "method": "\(request.method)", "route": "\(route)",
                "status": "\(response.status.code)", "ms": "\((took / .microseconds(1)).rounded() / 1000)",
                "error": "\(failure?.rawValue ?? "-")",
            ])
    }

    /// A path that exists for another method is told apart from one that does not exist.
    private static func notFound(_ request: Request) -> Problem {
        if let allowed = Routes.methods(of: request.uri.path) {
            return Problem(
                .methodNotAllowed, field: request.uri.path, expected: allowed.joined(separator: " or "),
                found: "\(request.method)")
        }
        return Problem(
            .notFound, .init("there is nothing at this path", zh: "此路径没有内容"),
            hint: .init("/openapi.json describes what there is", zh: "接口说明见 /openapi.json"))
    }

    private static func response(_ problem: Problem, _ context: Context, _ language: Language) -> Response {
        var body: [UInt8] = []
        problem.json(requestID: context.requestID, language: language).write(to: &body)
        body.append(0x0A)
        var headers: HTTPFields = [.contentType: "application/json; charset=utf-8"]
        if let seconds = problem.code.retryAfter { headers[.retryAfter] = "\(seconds)" }
        if problem.code == .methodNotAllowed, let allowed = problem.detail?.expected {
            headers[.allow] = allowed.replacing(" or ", with: ", ")
        }
        if problem.code == .bodyTooLarge || problem.code == .requestTimeout {
            headers[.connection] = "close"
            return Response(status: problem.code.status, headers: headers, body: parting(body, context.channel))
        }
        return Response(status: problem.code.status, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }

    /// A body after which the connection ends although its sender still sends: what comes is dropped for two seconds,
    /// so that the answer is read before the reset, and no longer.
    private static func parting(_ body: [UInt8], _ channel: any Channel) -> ResponseBody {
        ResponseBody(contentLength: body.count) { writer in
            try await writer.write(ByteBuffer(bytes: body))
            try await writer.finish(nil)
            channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
        }
    }
}

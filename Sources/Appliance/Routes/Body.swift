import ApplianceConfiguration
import Explain
import HTTPTypes
import Hummingbird
import NIOCore
import StrictJSON

extension Appliance {
    /// How long a body may take to arrive, however small its pieces.
    private static let bodyTime: Duration = .seconds(10)

    /// The body of a POST as JSON: of the right type, not too large, and here in time.
    func json(_ request: Request, _ context: Context) async throws -> JSON {
        let type = request.headers[.contentType]?.split(separator: ";").first?.lowercased()
        guard type?.filter({ $0 != " " }) == "application/json" else {
            throw Problem(
                .unsupportedMediaType, field: "Content-Type", expected: "application/json",
                found: request.headers[.contentType] ?? "nothing")
        }
        let limit = settings.limits.bodyBytes
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw tooLarge("\(length) bytes")
        }
        let bytes = try await bytes(of: request, context, limit: limit)
        do {
            return try bytes.withUnsafeReadableBytes { raw in try JSON(parsing: raw) }
        } catch let error as JSONError {
            throw Problem(.invalidJSON, error)
        }
    }

    private func tooLarge(_ found: String) -> Problem {
        Problem(
            .bodyTooLarge, field: "the body", expected: "at most \(settings.limits.bodyBytes) bytes", found: found,
            hint: .init("send less at once, or raise limits.body_bytes", zh: "请减少每次发送的内容，或调高 limits.body_bytes"))
    }

    private func bytes(of request: Request, _ context: Context, limit: Int) async throws -> ByteBuffer {
        let body = request.body
        let late = Problem(
            .requestTimeout, field: "the body", expected: "all of it within \(Self.bodyTime)", found: "less")
        return try await context.within(Self.bodyTime, else: late) {
            var all = ByteBuffer()
            for try await var part in body {
                all.writeBuffer(&part)
                if all.readableBytes > limit { throw tooLarge("more") }
            }
            return all
        }
    }
}

extension Response {
    init(json: JSON, status: HTTPResponse.Status = .ok) {
        var body: [UInt8] = []
        json.write(to: &body)
        body.append(0x0A)
        self.init(
            status: status, headers: [.contentType: "application/json; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }
}

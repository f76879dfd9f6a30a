import Crypto
import Disk
import HTTPTypes
import Hummingbird
import NIOCore
import Resources

/// The page and the API's description, from inside the binary.
struct PageRoutes: Sendable {
    let path: String
    private let type: String
    private let body: ByteBuffer
    private let tag: String

    private init(_ path: String, _ file: String, _ type: String) {
        self.path = path
        self.type = type
        guard let bytes = Resources.file(file)?.addressWhileHeld else { preconditionFailure("\(file) is not in the binary") }
        body = ByteBuffer(bytes: bytes)
        tag = "\"" + SHA256.hash(data: bytes).prefix(8).map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined() + "\""
    }

    static let pages = [
        PageRoutes("/", "page/index.html", "text/html; charset=utf-8"),
        PageRoutes("/page.css", "page/page.css", "text/css; charset=utf-8"),
        PageRoutes("/page.js", "page/page.js", "text/javascript; charset=utf-8"),
        PageRoutes("/favicon.svg", "page/favicon.svg", "image/svg+xml"),
        PageRoutes("/openapi.json", "openapi.json", "application/json; charset=utf-8"),
    ]

    /// Nothing but our own files: no inline script, no frame around us, no form to elsewhere.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    @Sendable func response(_ request: Request, _ context: Context) -> Response {
        var headers: HTTPFields = [
            .contentType: type, .eTag: tag, .cacheControl: "no-cache", .contentSecurityPolicy: Self.policy,
        ]
        headers[.referrerPolicy] = "no-referrer"
        if path == "/", ClientCookie.read(request) == nil { headers[.setCookie] = ClientCookie.fresh() }
        if request.headers[.ifNoneMatch] == tag { return Response(status: .notModified, headers: headers) }
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: body))
    }
}

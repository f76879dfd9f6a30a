import ApplianceConfiguration
import HTTPTypes
import Hummingbird

/// The table of what is served. `/openapi.json` describes the same; a test holds the two together.
enum Routes {
    /// Paths as OpenAPI writes them, with their methods. `{name}` stands for the rest of the path, slashes included,
    /// `{version}` for one part of it.
    static let table: [(path: String, methods: [String])] = [
        ("/", ["GET", "POST"]),
        ("/models/{name}", ["POST"]),
        ("/v1/fill", ["POST"]),
        ("/v1/status", ["GET"]),
        ("/v1/versions", ["GET"]),
        ("/v1/versions/{version}/dossier", ["GET"]),
        ("/v1/history", ["GET"]),
        ("/v1/rollout", ["GET"]),
        ("/v1/rollback", ["POST"]),
        ("/v1/promote", ["POST"]),
        ("/v1/hold", ["POST"]),
        ("/v1/resume", ["POST"]),
        ("/v1/events", ["GET"]),
        ("/v1/import", ["POST"]),
        ("/healthz", ["GET"]),
        ("/readyz", ["GET"]),
        ("/metrics", ["GET"]),
        ("/openapi.json", ["GET"]),
        ("/page.css", ["GET"]),
        ("/page.js", ["GET"]),
        ("/favicon.svg", ["GET"]),
    ]

    /// The methods of a path that exists; nil for one that does not.
    static func methods(of path: String) -> [String]? {
        if path.hasPrefix("/models/") { return ["POST"] }
        if path.hasPrefix("/v1/versions/"), path.hasSuffix("/dossier"), path.split(separator: "/").count == 4 { return ["GET"] }
        return table.first { $0.path == path }?.methods
    }

    static func router(_ appliance: Appliance) -> Router<Context> {
        let router = Router(context: Context.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: Envelope(appliance: appliance))
        router.add(middleware: RateLimit(appliance.settings))

        let fill = FillRoutes(appliance: appliance)
        router.post("/v1/fill", use: fill.fill)
        router.post("/", use: fill.huggingFace)
        router.post("/models/**", use: fill.huggingFace)

        let status = StatusRoutes(appliance: appliance)
        router.get("/v1/status", use: status.status)
        let rollout = RolloutRoutes(appliance: appliance)
        router.get("/v1/versions", use: rollout.versions)
        router.get("/v1/history", use: rollout.history)
        router.get("/v1/rollout", use: rollout.rollout)
        router.post("/v1/rollback", use: rollout.rollback)
        router.post("/v1/import", use: rollout.importFolder)
        router.get("/v1/versions/:version/dossier", use: rollout.dossier)
        let order = OrderRoutes(appliance: appliance)
        router.post("/v1/promote", use: order.promote)
        router.post("/v1/hold", use: order.hold)
        router.post("/v1/resume", use: order.resume)
        router.get("/v1/events", use: EventRoutes(appliance: appliance).events)

        router.get("/healthz", use: status.healthz)
        router.get("/readyz", use: status.readyz)
        router.get("/metrics", use: status.metrics)

        for page in PageRoutes.pages { router.get(RouterPath(page.path), use: page.response) }
        return router
    }
}

import ApplianceConfiguration
import Engine
import Explain
import Logging
import Rollout

/// What every route works with.
struct Appliance: Sendable {
    let settings: Settings
    let pool: WorkerPool
    let rollout: Rollout
    let terms: SiteTerms
    let metrics = Metrics()
    let hooks: Hooks
    let connections: Connections
    let logger: Logger

    init(settings: Settings, pool: WorkerPool, rollout: Rollout, terms: SiteTerms, logger: Logger) {
        self.terms = terms
        self.settings = settings
        self.pool = pool
        self.rollout = rollout
        self.logger = logger
        hooks = Hooks(folder: settings.hooks, logger: logger)
        connections = Connections(limit: settings.limits.connections)
    }

    /// The live version, or why there is none yet.
    func version() throws(Problem) -> Version {
        guard let version = rollout.models.live else {
            throw Problem(.warming, .init("the model is being loaded", zh: "模型正在加载"))
        }
        return version
    }

    /// Runs `body` until the deadline that counts from the request's arrival; then it is cancelled, and the asker told.
    func beforeDeadline<Value: Sendable>(
        of context: Context, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await context.within(settings.limits.deadline, else: late, body)
    }

    private var late: Problem {
        let limit = settings.limits.deadline
        return Problem(
            .deadlineExceeded, .init("no answer within \(limit)", zh: "未能在 \(limit) 内作答"),
            hint: .init("ask again in a moment", zh: "请稍后再试"))
    }
}

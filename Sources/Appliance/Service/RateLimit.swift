import ApplianceConfiguration
import Explain
import Hummingbird
import Synchronization

/// A token bucket a client address (one second's worth deep), for TCP from beyond this machine. Bounded: the table is
/// emptied of full buckets whenever it has grown.
struct RateLimit: RouterMiddleware {
    private final class Table: Sendable {
        struct Bucket {
            var tokens: Double
            var at: ContinuousClock.Instant
        }
        let buckets = Mutex<[String: Bucket]>([:])
    }

    private let rate: Double
    private let table = Table()
    private static let mostBuckets = 10_000

    private let access: Settings.Access

    init(_ settings: Settings) {
        rate = Double(settings.limits.requestsPerSecond)
        access = settings.access
    }

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if let client = Access.clientAddress(request, context, access), !Access.isLoopback(client),
            !take(client, at: context.arrived)
        {
            throw Problem(
                .tooManyRequests, field: "requests_per_second", expected: "at most \(Int(rate))", found: "more",
                hint: .init("slow down, or raise limits.requests_per_second", zh: "请放慢，或调高 limits.requests_per_second"))
        }
        return try await next(request, context)
    }

    private func take(_ peer: String, at now: ContinuousClock.Instant) -> Bool {
        table.buckets.withLock { buckets in
            if buckets.count >= Self.mostBuckets {
                buckets = buckets.filter { now - $0.value.at < .seconds(1) }
                if buckets.count >= Self.mostBuckets { return false }
            }
            var bucket = buckets[peer] ?? .init(tokens: rate, at: now)
            bucket.tokens = min(rate, bucket.tokens + (now - bucket.at) / .seconds(1) * rate)
            bucket.at = now
            guard bucket.tokens >= 1 else {
                buckets[peer] = bucket
                return false
            }
            bucket.tokens -= 1
            buckets[peer] = bucket
            return true
        }
    }
}

import HTTPTypes
import Hummingbird
import Rollout
import StrictJSON

/// The operator's hand on what is being tried: `{"reason"?}`; the answer is as of `GET /v1/rollout`.
struct OrderRoutes: Sendable {
    let appliance: Appliance

    /// `POST /v1/promote`
    @Sendable func promote(_ request: Request, _ context: Context) async throws -> Response {
        let (by, reason) = try await order(request, context)
        do throws(RolloutError) { return Response(json: try await appliance.rollout.promote(by: by, reason: reason)) } catch {
            throw Problem(error)
        }
    }

    /// `POST /v1/hold`
    @Sendable func hold(_ request: Request, _ context: Context) async throws -> Response {
        let (by, reason) = try await order(request, context)
        do throws(RolloutError) { return Response(json: try await appliance.rollout.hold(by: by, reason: reason)) } catch {
            throw Problem(error)
        }
    }

    /// `POST /v1/resume`
    @Sendable func resume(_ request: Request, _ context: Context) async throws -> Response {
        let (by, reason) = try await order(request, context)
        do throws(RolloutError) { return Response(json: try await appliance.rollout.resume(by: by, reason: reason)) } catch {
            throw Problem(error)
        }
    }

    private func order(_ request: Request, _ context: Context) async throws -> (by: String, reason: String?) {
        let admin = try await Authority.admin(request, context, appliance)
        let fields = try Fields(try await appliance.json(request, context), known: ["reason"])
        return (admin, try fields.optionalText("reason", most: 1000))
    }
}

import ApplianceConfiguration
import Explain
import HTTPTypes
import Hummingbird
import Logging
import ModelFormat
import Rollout
import StrictJSON

/// What is kept, what happened, and the operator's hand.
struct RolloutRoutes: Sendable {
    let appliance: Appliance

    /// `GET /v1/versions`
    @Sendable func versions(_ request: Request, _ context: Context) async -> Response {
        Response(json: ["versions": await appliance.rollout.versionsJSON()])
    }

    /// `GET /v1/rollout`
    @Sendable func rollout(_ request: Request, _ context: Context) -> Response {
        Response(json: appliance.rollout.rolloutJSON)
    }

    /// `GET /v1/history?after=N&limit=M`
    @Sendable func history(_ request: Request, _ context: Context) async throws -> Response {
        let after = try number("after", request, in: 0...Int(Int32.max), fallback: 0)
        let limit = try number("limit", request, in: 1...1000, fallback: 100)
        do { return Response(json: try await appliance.rollout.historyJSON(after: after, limit: limit)) } catch {
            throw Problem(error)
        }
    }

    /// `POST /v1/rollback {"to"?, "reason"?}`
    @Sendable func rollback(_ request: Request, _ context: Context) async throws -> Response {
        let admin = try await Authority.admin(request, context, appliance)
        let fields = try Fields(try await appliance.json(request, context), known: ["to", "reason"])
        let (to, reason) = (try fields.optionalText("to", most: 200), try fields.optionalText("reason", most: 1000))
        do throws(RolloutError) {
            let back = try await appliance.rollout.goBack(to: to, reason: reason, by: admin)
            return Response(
                json: [
                    "from": back.from.brief, "to": back.to.brief,
                    "took_ms": .real((back.took / .nanoseconds(100)).rounded() / 10_000),
                ])
        } catch { throw Problem(error) }
    }

    /// `POST /v1/import {"folder", "release"?}`; answers when the version is live.
    @Sendable func importFolder(_ request: Request, _ context: Context) async throws -> Response {
        _ = try await Authority.admin(request, context, appliance)
        let fields = try Fields(try await appliance.json(request, context), known: ["folder", "release"])
        guard let folder = try fields.optionalText("folder", most: 4096), folder.hasPrefix("/") else {
            throw Problem(.missingField, field: "folder", expected: "the absolute path of a Hugging Face folder", found: "none")
        }
        let release = try fields.optionalText("release", most: 100)
        if let release, !release.isName {
            throw Problem(.outOfRange, field: "release", expected: "a name on one line", found: release.plain)
        }
        do throws(RolloutError) {
            return Response(json: try await appliance.rollout.importFolder(folder, release: release))
        } catch { throw Problem(error) }
    }

    private func number(_ name: String, _ request: Request, in range: ClosedRange<Int>, fallback: Int) throws(Problem) -> Int {
        guard let text = request.uri.queryParameters[name[...]] else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            throw Problem(
                .outOfRange, field: name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)", found: "\(text)")
        }
        return number
    }
}

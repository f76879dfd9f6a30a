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
        let after = try request.number("after", in: 0...Int(Int32.max), fallback: 0)
        let limit = try request.number("limit", in: 1...1000, fallback: 100)
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

    /// `POST /v1/import {"folder", "release"?, "policy"?}`; answers when the version is live.
    @Sendable func importFolder(_ request: Request, _ context: Context) async throws -> Response {
        _ = try await Authority.admin(request, context, appliance)
        let fields = try Fields(try await appliance.json(request, context), known: ["folder", "release", "policy"])
        guard let folder = try fields.optionalText("folder", most: 4096), folder.hasPrefix("/") else {
            throw Problem(.missingField, field: "folder", expected: "the absolute path of a Hugging Face folder", found: "none")
        }
        let release = try fields.optionalText("release", most: 100)
        if let release, !release.isName {
            throw Problem(.outOfRange, field: "release", expected: "a name on one line", found: release.plain)
        }
        let policy = try fields.choice("policy", Policy.self)
        do throws(RolloutError) {
            return Response(json: try await appliance.rollout.importFolder(folder, release: release, policy: policy))
        } catch { throw Problem(error) }
    }

    /// `GET /v1/versions/{version}/dossier`; a release may have characters that a path may not.
    @Sendable func dossier(_ request: Request, _ context: Context) async throws -> Response {
        let given = try context.parameters.require("version")
        guard let name = given.percentDecoded else {
            throw Problem(.outOfRange, field: "version", expected: "UTF-8, percent-encoded", found: given.plain)
        }
        do throws(RolloutError) { return Response(json: try await appliance.rollout.dossierJSON(of: name)) } catch {
            throw Problem(error)
        }
    }
}

extension String {
    /// As a path has it (RFC 3986): `+` is itself. nil where it is none, or no UTF-8.
    fileprivate var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.count == 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(digits, radix: 16) else { return nil }
            bytes.append(value)
            rest.removeFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

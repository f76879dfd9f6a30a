import ApplianceConfiguration
import Engine
import HTTPTypes
import Hummingbird
import ModelFormat
import NIOCore
import Rollout
import StrictJSON

struct StatusRoutes: Sendable {
    let appliance: Appliance

    @Sendable func status(_ request: Request, _ context: Context) throws -> Response {
        let version = try appliance.version()
        var members = version.status(appliance).members ?? []
        members += appliance.rollout.statusMembers
        members.append(.init("terms", appliance.terms.json(version.fillMask)))
        if appliance.settings.trust.unsigned == .allow { members.append(.init("unsigned", "allow")) }
        return Response(json: .object(members))
    }

    /// The process lives and takes requests.
    @Sendable func healthz(_ request: Request, _ context: Context) -> Response {
        Response(json: ["status": "ok"])
    }

    /// A version answers.
    @Sendable func readyz(_ request: Request, _ context: Context) -> Response {
        guard appliance.rollout.models.live != nil else {
            var response = Response(json: ["status": "warming"], status: .serviceUnavailable)
            response.headers[.retryAfter] = "1"
            return response
        }
        return Response(json: ["status": "ok"])
    }

    @Sendable func metrics(_ request: Request, _ context: Context) -> Response {
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: appliance.metrics.text(appliance))))
    }
}

extension Version {
    /// `/v1/status`
    func status(_ appliance: Appliance) -> JSON {
        [
            "version": .string("\(fingerprint)"), "release": .string(release), "epoch": .integer(Int64(epoch)),
            "state": "serving", "since": .string(since),
            "precision": .string(appliance.settings.model.precision.rawValue),
            "isa": .string(appliance.pool.isa.rawValue), "threads": .integer(Int64(appliance.pool.threads)),
        ]
    }
}

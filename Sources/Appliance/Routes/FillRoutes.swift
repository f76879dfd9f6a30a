import ApplianceConfiguration
import Engine
import HTTPTypes
import Hummingbird
import ModelFormat
import Rollout
import StrictJSON

struct FillRoutes: Sendable {
    let appliance: Appliance

    /// `POST /v1/fill`
    @Sendable func fill(_ request: Request, _ context: Context) async throws -> Response {
        let ask = try FillRequest(try await appliance.json(request, context), defaults: appliance.settings.model)
        let version = try appliance.version()
        let answer = try await answer([ask.question], by: version, request, context)[0]
        return response(
            answer.json(version: version, elapsed: .now - context.arrived, requestID: context.requestID), by: version)
    }

    /// `POST /` and `POST /models/{name}`, whatever the name.
    @Sendable func huggingFace(_ request: Request, _ context: Context) async throws -> Response {
        let ask = try HuggingFaceRequest(try await appliance.json(request, context), defaults: appliance.settings.model)
        let version = try appliance.version()
        let answers = try await answer(ask.questions, by: version, request, context)
        return response(ask.json(answers, tokenizer: version.fillMask.tokenizer), by: version)
    }

    private func response(_ json: JSON, by version: Version) -> Response {
        var response = Response(json: json)
        response.headers[.version] = "\(version.fingerprint)"
        version.didAnswer()
        return response
    }

    /// All of them, or the problem of the first that has one.
    private func answer(_ asked: [Question], by version: Version, _ request: Request, _ context: Context) async throws -> [Answer] {
        if asked.contains(where: { $0.span != .one }) { appliance.terms.dress(version.fillMask) }
        let client = Access.turnKey(request, context, appliance.settings.access)
        let questions = asked.map { question in
            var question = question
            question.client = client
            return question
        }
        let outcomes = try await appliance.beforeDeadline(of: context) { await version.fillMask.answer(questions) }
        var answers: [Answer] = []
        for outcome in outcomes {
            do { answers.append(try outcome.get()) } catch { throw Problem(error) }
        }
        appliance.metrics.answered(
            blanks: answers.reduce(0) { $0 + $1.blanks.count }, tokens: answers.reduce(0) { $0 + $1.tokens.count })
        return answers
    }
}

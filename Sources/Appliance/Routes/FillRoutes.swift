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
        let (answers, version) = try await answer([ask.question], request, context)
        return response(
            answers[0].json(version: version, elapsed: .now - context.arrived, requestID: context.requestID), by: version)
    }

    /// `POST /` and `POST /models/{name}`, whatever the name.
    @Sendable func huggingFace(_ request: Request, _ context: Context) async throws -> Response {
        let ask = try HuggingFaceRequest(try await appliance.json(request, context), defaults: appliance.settings.model)
        let (answers, version) = try await answer(ask.questions, request, context)
        return response(ask.json(answers, tokenizer: version.fillMask.tokenizer), by: version)
    }

    private func response(_ json: JSON, by version: Version) -> Response {
        var response = Response(json: json)
        response.headers[.version] = "\(version.fingerprint)"
        version.didAnswer()
        return response
    }

    // MARK: - Who answers

    /// Who asks, and which version answers them.
    private struct Turn {
        let client: ClientKey
        let version: Version
        let isCandidate: Bool
    }

    private func turn(_ request: Request, _ context: Context) async throws(Problem) -> Turn {
        let models = appliance.rollout.models
        // Without a candidate it does not matter who asks.
        guard models.candidate != nil else { return Turn(client: Self.anybody, version: try appliance.version(), isCandidate: false) }
        let client = await Access.clientKey(request, context, appliance.settings.access)
        guard let (version, isCandidate) = models.version(for: client) else {
            return Turn(client: client, version: try appliance.version(), isCandidate: false)
        }
        return Turn(client: client, version: version, isCandidate: isCandidate)
    }

    private static let anybody = ClientKey("")

    /// All of them by one version, or the problem of the first that has one. Where a candidate computes nothing sensible
    /// the live version answers; of a deadline that it missed nothing is left to answer in.
    private func answer(_ asked: [Question], _ request: Request, _ context: Context) async throws -> ([Answer], Version) {
        let turn = try await turn(request, context)
        do {
            return (try await counted(asked, turn, request, context), turn.version)
        } catch let problem as Problem where turn.isCandidate && problem.code == .internal {
            let live = Turn(client: turn.client, version: try appliance.version(), isCandidate: false)
            return (try await counted(asked, live, request, context), live.version)
        }
    }

    /// What is a version's own fault counts against it, the live one's as a candidate's.
    private func counted(_ asked: [Question], _ turn: Turn, _ request: Request, _ context: Context) async throws -> [Answer] {
        do {
            return try await answer(asked, turn, request, context)
        } catch let problem as Problem {
            if let failure = Tally.Failure(problem) { turn.version.tally.failed(turn.client, failure) }
            throw problem
        }
    }

    private func answer(_ asked: [Question], _ turn: Turn, _ request: Request, _ context: Context) async throws -> [Answer] {
        let started = ContinuousClock.now
        let version = turn.version
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
        version.tally.answered(
            turn.client, took: .now - started, confidence: answers.first?.blanks.first?.candidates.first.map { Double($0.score) })
        for question in asked { appliance.rollout.recent.keep(question.text) }
        appliance.metrics.answered(
            blanks: answers.reduce(0) { $0 + $1.blanks.count }, tokens: answers.reduce(0) { $0 + $1.tokens.count })
        return answers
    }
}

extension Tally.Failure {
    /// nil for what is no fault of the version.
    init?(_ problem: Problem) {
        switch problem.code {
        case .deadlineExceeded: self = .deadline
        case .internal: self = .internal
        default: return nil
        }
    }
}

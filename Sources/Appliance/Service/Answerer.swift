import ApplianceConfiguration
import Engine
import Explain
import Rollout
import StrictJSON

/// Who answers the command line: the service, or this process.
enum Answerer {
    case service(socket: String)
    case here(Version, Settings)

    /// Connections that ask at the same time.
    private static let lanes = 4

    /// - Parameter requests: objects as for `/v1/fill`.
    /// - Returns: an outcome for each, in their order.
    func answer(_ requests: [JSON]) async throws -> [Result<JSON, Problem>] {
        switch self {
        case .here(let version, let settings): await Self.answer(requests, by: version, settings)
        case .service(let socket): try await Self.answer(requests, through: socket)
        }
    }

    private static func answer(
        _ requests: [JSON], by version: Version, _ settings: Settings
    ) async -> [Result<JSON, Problem>] {
        let started = ContinuousClock.now
        var outcomes: [Result<JSON, Problem>?] = Array(repeating: nil, count: requests.count)
        var questions: [Question] = []
        var places: [Int] = []
        for (index, request) in requests.enumerated() {
            do throws(Problem) {
                questions.append(try FillRequest(request, defaults: settings.model).question)
                places.append(index)
            } catch {
                outcomes[index] = .failure(error)
            }
        }
        for (place, outcome) in zip(places, await version.fillMask.answer(questions)) {
            outcomes[place] = outcome.mapError(Problem.init).map {
                $0.json(version: version, elapsed: .now - started, requestID: "local-\(place)")
            }
        }
        return outcomes.map { $0! }
    }

    private static func answer(_ requests: [JSON], through socket: String) async throws -> [Result<JSON, Problem>] {
        let lanes = min(Self.lanes, requests.count)
        return try await withThrowingTaskGroup(of: [(Int, Result<JSON, Problem>)].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    let client = try await Client(socket: socket)
                    var mine: [(Int, Result<JSON, Problem>)] = []
                    for index in stride(from: lane, to: requests.count, by: lanes) {
                        mine.append((index, try await ask(requests[index], client)))
                    }
                    return mine
                }
            }
            var all: [(Int, Result<JSON, Problem>)] = []
            for try await lane in group { all += lane }
            return all.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// Once more after a moment while the service is full or warming; a batch job is patient.
    private static func ask(_ request: JSON, _ client: borrowing Client) async throws -> Result<JSON, Problem> {
        var reply = try await client.post("/v1/fill", request)
        var patience = 20
        while reply.status == 503, patience > 0 {
            try await Task.sleep(for: .milliseconds(250))
            reply = try await client.post("/v1/fill", request)
            patience -= 1
        }
        return reply.status == 200 ? .success(reply.json) : .failure(Problem(reply.json))
    }
}

extension Problem {
    /// An error body of the service, read back.
    init(_ json: JSON) {
        let error = json["error"]
        let text = error?["message"]?.string ?? json.serialized
        let hint = error?["hint"]?.string
        let detail = error?["detail"]
        self.init(
            error?["code"]?.string.flatMap(ErrorCode.init) ?? .internal, .init(text, zh: text),
            detail: detail.map {
                .init(
                    field: $0["field"]?.string ?? "", expected: $0["expected"]?.string ?? "",
                    found: $0["got"]?.string ?? "")
            },
            hint: hint.map { .init($0, zh: $0) })
    }
}

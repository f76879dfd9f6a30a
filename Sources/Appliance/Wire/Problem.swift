import Engine
import Explain
import HTTPTypes
import ModelStore
import Rollout
import StrictJSON
import Tokenizer

/// The closed list of what can be wrong with a request; the one place that gives each its HTTP status and its exit
/// code (sysexits(3)).
enum ErrorCode: String, CaseIterable, Sendable {
    case invalidJSON = "invalid_json"
    case unknownField = "unknown_field"
    case missingField = "missing_field"
    case wrongType = "wrong_type"
    case outOfRange = "out_of_range"
    case noBlank = "no_blank"
    case tooManyBlanks = "too_many_blanks"
    case textTooLong = "text_too_long"
    case unknownTarget = "unknown_target"
    case notBuilt = "not_built"
    case unsupportedMediaType = "unsupported_media_type"
    case forbiddenOrigin = "forbidden_origin"
    case forbiddenNetwork = "forbidden_network"
    case forbiddenAdmin = "forbidden_admin"
    case unknownVersion = "unknown_version"
    case noSnapshot = "no_snapshot"
    case nothingToPromote = "nothing_to_promote"
    case rolledBack = "rolled_back"
    case busy
    case superseded
    case badModel = "bad_model"
    case noRoom = "no_room"
    case bodyTooLarge = "body_too_large"
    case requestTimeout = "request_timeout"
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    case tooManyRequests = "too_many_requests"
    case overloaded
    case deadlineExceeded = "deadline_exceeded"
    case warming
    case `internal`

    var status: HTTPResponse.Status {
        switch self {
        case .invalidJSON, .unknownField, .missingField, .wrongType, .outOfRange, .noBlank, .tooManyBlanks,
            .textTooLong, .unknownTarget, .notBuilt, .badModel:
            .badRequest
        case .unsupportedMediaType: .unsupportedMediaType
        case .forbiddenOrigin, .forbiddenNetwork, .forbiddenAdmin: .forbidden
        case .bodyTooLarge: .contentTooLarge
        case .requestTimeout: .requestTimeout
        case .notFound, .unknownVersion: .notFound
        case .noSnapshot, .superseded, .nothingToPromote, .rolledBack: .conflict
        case .methodNotAllowed: .methodNotAllowed
        case .tooManyRequests: .tooManyRequests
        case .overloaded, .warming, .busy: .serviceUnavailable
        case .noRoom: .init(code: 507, reasonPhrase: "Insufficient Storage")
        case .deadlineExceeded: .gatewayTimeout
        case .internal: .internalServerError
        }
    }

    var exit: Exit {
        switch self {
        case .overloaded, .warming, .busy, .deadlineExceeded, .tooManyRequests, .requestTimeout, .superseded, .nothingToPromote:
            .tryLater
        case .noRoom: .cannotCreate
        case .forbiddenOrigin, .forbiddenNetwork, .forbiddenAdmin: .noPermission
        case .internal, .notFound, .methodNotAllowed: .noService
        default: .badData
        }
    }

    /// Seconds after which asking again is worth it.
    var retryAfter: Int? {
        switch self {
        case .overloaded, .warming, .busy, .tooManyRequests: 1
        default: nil
        }
    }
}

/// sysexits(3).
enum Exit: Int32, Sendable {
    case usage = 64
    case badData = 65
    case noService = 69
    case cannotCreate = 73
    case tryLater = 75
    case noPermission = 77
    case badConfiguration = 78
}

/// What goes to the asker when a request cannot be answered.
struct Problem: Error, Explained {
    let code: ErrorCode
    let message: Bilingual
    let detail: Detail?
    let hint: Bilingual?

    init(_ code: ErrorCode, _ message: Bilingual, detail: Detail? = nil, hint: Bilingual? = nil) {
        self.code = code
        self.message = message
        self.detail = detail
        self.hint = hint
    }

    init(_ code: ErrorCode, _ error: some Explained) {
        self.init(code, error.message, detail: error.detail, hint: error.hint)
    }

    /// A field of a request that is not what it should be.
    init(_ code: ErrorCode, field: String, expected: String, found: String, hint: Bilingual? = nil) {
        self.init(
            code,
            Bilingual("\(field): expected \(expected), found \(found)", zh: "\(field)：应为 \(expected)，实为 \(found)"),
            detail: Detail(field: field, expected: expected, found: found), hint: hint)
    }

    init(_ error: EngineError) {
        let code: ErrorCode =
            switch error {
            case .noBlank: .noBlank
            case .tooManyBlanks: .tooManyBlanks
            case .text(.textTooLong), .wordTooLong: .textTooLong
            case .text, .targetLength: .outOfRange
            case .unknownTarget, .unknownPieces: .unknownTarget
            case .overloaded: .overloaded
            case .cancelled: .deadlineExceeded
            case .stopped: .warming
            case .isaMissing, .threads, .tensorMissing, .packedMissing, .vocabulary, .calibration, .notFinite: .internal
            }
        self.init(code, error)
    }

    init(_ error: RolloutError) {
        let code: ErrorCode =
            switch error {
            case .warming: .warming
            case .busy, .shadow: .busy
            case .superseded, .takenBack: .superseded
            case .nothingToPromote: .nothingToPromote
            case .judged: .rolledBack
            case .store(.unknownVersion), .store(.ambiguous), .chain(.notKept): .unknownVersion
            case .store(.noSnapshot): .noSnapshot
            case _ where error.isForNow: .noRoom
            case .format, .store(.format), .prewarm, .engine(.notFinite): .badModel
            default: .internal
            }
        self.init(code, error)
    }

    /// `{"error":{"code","message","detail":{"field","expected","got"},"hint"?}}`, and the request's id where it has one.
    func json(requestID: String?, language: Language = .english) -> JSON {
        var error: [JSON.Member] = [
            .init("code", .string(code.rawValue)), .init("message", .string(message.text(in: language))),
        ]
        if let detail {
            error.append(
                .init(
                    "detail",
                    [
                        "field": .string(detail.field), "expected": .string(detail.expected),
                        "got": .string(detail.found),
                    ]))
        }
        if let hint { error.append(.init("hint", .string(hint.text(in: language)))) }
        var body: [JSON.Member] = [.init("error", .object(error))]
        if let requestID { body.append(.init("request_id", .string(requestID))) }
        return .object(body)
    }
}

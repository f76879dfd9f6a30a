import ApplianceConfiguration
import Engine
import Explain
import ModelFormat
import Rollout
import StrictJSON
import Tokenizer

/// `POST /v1/fill`, and a line of `tiankong fill -`.
struct FillRequest: Sendable {
    let question: Question

    init(_ json: JSON, defaults: Settings.Model) throws(Problem) {
        let fields = try Fields(
            json, known: ["text", "top_k", "span", "targets", "temperature", "precision", "fold_case"])
        let precision = try fields.choice("precision", Settings.Model.Precision.self) ?? defaults.precision
        let targets = try fields.texts("targets", atMost: 100)
        let folding = try fields.choice("fold_case", Settings.Model.FoldCase.self) ?? defaults.foldCase
        question = Question(
            try fields.text("text"), topK: try fields.integer("top_k", in: 1...100) ?? max(5, targets?.count ?? 0),
            targets: targets, temperature: try fields.positive("temperature", atMost: 100).map(Float.init),
            folding: CaseFolding(folding), precision: Precision(precision), span: try Self.span(fields), joint: true)
    }

    private static func span(_ fields: Fields) throws(Problem) -> Span {
        guard let span = fields.value("span") else { return .one }
        let expected = "1 to \(Span.most) or \"auto\""
        switch span {
        case .integer(1): return .one
        case .integer(2...Int64(Span.most)): return .pieces(span.integer!)
        case .string("auto"): return .auto
        case .integer, .real, .string:
            throw Problem(.outOfRange, field: "span", expected: expected, found: span.serialized)
        default: throw fields.wrong("span", expected, span)
        }
    }
}

extension Precision {
    init(_ setting: Settings.Model.Precision) {
        switch setting {
        case .exact: self = .exact
        case .fast: self = .fast
        }
    }
}

extension CaseFolding {
    init(_ setting: Settings.Model.FoldCase) {
        switch setting {
        case .auto: self = .auto
        case .always: self = .always
        case .never: self = .never
        }
    }
}

extension Answer {
    /// `{"version","release","epoch","blanks":[…],"joint"?,"elapsed_ms","request_id"}`
    func json(version: Version, elapsed: Duration, requestID: String) -> JSON {
        var members: [JSON.Member] = [
            .init("version", .string("\(version.fingerprint)")), .init("release", .string(version.release)),
            .init("epoch", .integer(Int64(version.epoch))), .init("blanks", blanksJSON),
        ]
        if let joint = jointJSON { members.append(.init("joint", joint)) }
        members.append(.init("elapsed_ms", .real((elapsed / .microseconds(1)).rounded() / 1000)))
        members.append(.init("request_id", .string(requestID)))
        return .object(members)
    }

    private var blanksJSON: JSON {
            .array(
                blanks.enumerated().map { index, blank in
                    [
                        "index": .integer(Int64(index)), "start": .integer(Int64(blank.start)),
                        "end": .integer(Int64(blank.end)),
                        "candidates": .array(
                            blank.candidates.map { candidate in
                                [
                                    "text": .string(candidate.text), "score": .real(Double(candidate.score)),
                                    "tokens": .array(candidate.tokens.map { .integer(Int64($0)) }),
                                ]
                            }),
                    ]
                })
    }

    private var jointJSON: JSON? {
        joint.map { joint in
            .array(
                joint.map { filled in
                    [
                        "text": .string(filled.text), "score": .real(Double(filled.score)),
                        "fills": .array(filled.fills.map { .string($0) }),
                    ]
                })
        }
    }
}

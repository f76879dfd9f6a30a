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
        try Self.checkSpan(fields)
        let precision = try fields.choice("precision", Settings.Model.Precision.self) ?? defaults.precision
        let targets = try fields.texts("targets", atMost: 100)
        let folding = try fields.choice("fold_case", Settings.Model.FoldCase.self) ?? defaults.foldCase
        question = Question(
            try fields.text("text"), topK: try fields.integer("top_k", in: 1...100) ?? max(5, targets?.count ?? 0),
            targets: targets, temperature: Float(try fields.positive("temperature", atMost: 100) ?? 1),
            folding: CaseFolding(folding), precision: Precision(precision))
    }

    /// A plain line of text, with the options of the command.
    init(text: String, topK: Int?, targets: [String]?, defaults: Settings.Model) {
        question = Question(
            text, topK: topK ?? max(5, targets?.count ?? 0), targets: targets, folding: CaseFolding(defaults.foldCase),
            precision: Precision(defaults.precision))
    }

    /// One piece a blank is all there is yet; whole words are named as what they are: not built.
    private static func checkSpan(_ fields: Fields) throws(Problem) {
        guard let span = fields.value("span") else { return }
        let expected = "1 to 8 or \"auto\""
        switch span {
        case .integer(1): return
        case .integer(2...8), .string("auto"):
            throw Problem(
                .notBuilt, field: "span", expected: "1", found: span.serialized,
                hint: Bilingual("write as many [MASK] as the word has characters", zh: "词有几个字就写几个 [MASK]"))
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
    /// `{"version","release","epoch","blanks":[…],"elapsed_ms","request_id"}`
    func json(version: Version, elapsed: Duration, requestID: String) -> JSON {
        [
            "version": .string("\(version.fingerprint)"),
            "release": .string(version.release),
            "epoch": .integer(Int64(version.epoch)),
            "blanks": .array(
                blanks.enumerated().map { index, blank in
                    [
                        "index": .integer(Int64(index)), "start": .integer(Int64(blank.start)),
                        "end": .integer(Int64(blank.end)),
                        "candidates": .array(
                            blank.candidates.map { candidate in
                                [
                                    "text": .string(candidate.text), "score": .real(Double(candidate.score)),
                                    "tokens": [.integer(Int64(candidate.token))],
                                ]
                            }),
                    ]
                }),
            "elapsed_ms": .real((elapsed / .microseconds(1)).rounded() / 1000),
            "request_id": .string(requestID),
        ]
    }
}

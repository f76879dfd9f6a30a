import ApplianceConfiguration
import Engine
import Explain
import StrictJSON
import Tokenizer

/// The fill-mask task of Hugging Face's inference API: `{"inputs": str | [str], "parameters": {"top_k", "targets"}}`.
///
/// Its answer is a list of `{"score","token","token_str","sequence"}` for one blank in one input, a list of lists for
/// several blanks or several inputs, as `transformers.pipeline("fill-mask")` has it.
struct HuggingFaceRequest: Sendable {
    let questions: [Question]
    private let isList: Bool

    static let mostInputs = 32

    init(_ json: JSON, defaults: Settings.Model) throws(Problem) {
        // `options` (use_cache, wait_for_model) is sent by clients and asks for nothing that we have.
        let fields = try Fields(json, known: ["inputs", "parameters", "options"])
        let texts: [String]
        switch fields.value("inputs") {
        case .array?: texts = try fields.texts("inputs", atMost: Self.mostInputs) ?? []
        default: texts = [try fields.text("inputs")]
        }
        if case .array? = fields.value("inputs") { isList = true } else { isList = false }

        var topK = 5
        var targets: [String]?
        if let parameters = fields.value("parameters") {
            let fields = try Fields(parameters, path: "parameters.", known: ["top_k", "targets"])
            topK = try fields.integer("top_k", in: 1...100) ?? topK
            if case .string(let target)? = fields.value("targets") {
                targets = [target]
            } else {
                targets = try fields.texts("targets", atMost: 100)
            }
        }
        // As the reference: no folding beyond the tokenizer's own, temperature 1, every piece a candidate.
        questions = texts.map {
            Question(
                $0, topK: topK, targets: targets, folding: .auto, candidates: .pieces, precision: Precision(defaults.precision))
        }
    }

    func json(_ answers: [Answer], tokenizer: Tokenizer) -> JSON {
        let lists = answers.map { Self.json($0, tokenizer: tokenizer) }
        return isList && lists.count > 1 ? .array(lists) : lists[0]
    }

    private static func json(_ answer: Answer, tokenizer: Tokenizer) -> JSON {
        let blanks: [JSON] = answer.blanks.map { blank in
            .array(
                blank.candidates.map { candidate in
                    var tokens = answer.tokens
                    tokens[blank.position] = candidate.token
                    let isAlone = answer.blanks.count == 1
                    return [
                        "score": .real(Double(candidate.score)),
                        "token": .integer(Int64(candidate.token)),
                        "token_str": .string(tokenizer.decode([candidate.token], skippingSpecials: false)),
                        "sequence": .string(tokenizer.decode(tokens, skippingSpecials: isAlone)),
                    ]
                })
        }
        return blanks.count == 1 ? blanks[0] : .array(blanks)
    }
}

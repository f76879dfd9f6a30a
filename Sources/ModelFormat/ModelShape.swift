/// The feed-forward layers' function; raw values are Hugging Face's names.
public enum Activation: String, Sendable, Hashable {
    /// By the error function, as BERT's own code has it.
    case gelu
    /// The tanh approximation (Hendrycks & Gimpel 2016).
    case geluTanh = "gelu_new"
    case relu

    init?(huggingFace name: String) {
        switch name {
        case "gelu": self = .gelu
        case "gelu_new", "gelu_pytorch_tanh": self = .geluTanh
        case "relu": self = .relu
        default: return nil
        }
    }
}

/// The sizes that make a BERT.
public struct ModelShape: Sendable, Hashable {
    public let layers: Int
    /// Floats a token.
    public let hidden: Int
    public let heads: Int
    public let feedForward: Int
    /// Most tokens of a text.
    public let positions: Int
    public let types: Int
    /// Pieces.
    public let vocabulary: Int
    public let activation: Activation
    /// Of every LayerNorm.
    public let epsilon: Double

    public init(
        layers: Int, hidden: Int, heads: Int, feedForward: Int, positions: Int, types: Int, vocabulary: Int,
        activation: Activation, epsilon: Double
    ) {
        self.layers = layers
        self.hidden = hidden
        self.heads = heads
        self.feedForward = feedForward
        self.positions = positions
        self.types = types
        self.vocabulary = vocabulary
        self.activation = activation
        self.epsilon = epsilon
    }

    /// For messages.
    public var inWords: String {
        "\(layers) layers of \(hidden), \(heads) heads, feed-forward \(feedForward), \(positions) positions, \(types) types, "
            + "\(vocabulary) pieces, \(activation.rawValue), epsilon \(epsilon)"
    }

    /// Every tensor a model of this shape has, by its canonical name; the decoder only where it is not tied.
    public func expectedTensors(tied: Bool) -> [(name: String, shape: [Int])] {
        var all: [(String, [Int])] = [
            ("bert.embeddings.word_embeddings.weight", [vocabulary, hidden]),
            ("bert.embeddings.position_embeddings.weight", [positions, hidden]),
            ("bert.embeddings.token_type_embeddings.weight", [types, hidden]),
            ("cls.predictions.bias", [vocabulary]),
        ]
        if !tied { all.append(("cls.predictions.decoder.weight", [vocabulary, hidden])) }
        func norm(_ name: String) { all += [(name + ".weight", [hidden]), (name + ".bias", [hidden])] }
        func dense(_ name: String, _ outputs: Int, _ inputs: Int) {
            all += [(name + ".weight", [outputs, inputs]), (name + ".bias", [outputs])]
        }
        norm("bert.embeddings.LayerNorm")
        dense("cls.predictions.transform.dense", hidden, hidden)
        norm("cls.predictions.transform.LayerNorm")
        for layer in 0..<layers {
            let name = "bert.encoder.layer.\(layer)."
            for part in ["query", "key", "value"] { dense(name + "attention.self." + part, hidden, hidden) }
            dense(name + "attention.output.dense", hidden, hidden)
            norm(name + "attention.output.LayerNorm")
            dense(name + "intermediate.dense", feedForward, hidden)
            dense(name + "output.dense", hidden, feedForward)
            norm(name + "output.LayerNorm")
        }
        return all
    }
}

/// How a text becomes tokens (Hugging Face's BertTokenizerFast).
public struct TokenizerSettings: Sendable, Hashable {
    /// `do_lower_case`
    public let lower: Bool
    /// `strip_accents`; nil follows `lower`.
    public let accents: Bool?
    /// `tokenize_chinese_chars`
    public let cjk: Bool

    public init(lower: Bool, accents: Bool?, cjk: Bool) {
        self.lower = lower
        self.accents = accents
        self.cjk = cjk
    }
}

import StrictJSON

extension ModelShape {
    /// What `config.json` says, for every BERT masked LM of the family; what would change the computation in a way we
    /// do not follow (decoders, relative positions, cross attention) is refused.
    ///
    /// Defaults are those of transformers' `BertConfig`. Sizes are bounded so that no product of them overflows.
    init(_ source: FileSource) throws(ModelFormatError) {
        let config = try ConfigurationFile(source, "config.json")
        try config.require("model_type", ["bert"], "\"bert\"")
        try config.require("is_decoder", [false], "false")
        try config.require("add_cross_attention", [false], "false")
        try config.require("position_embedding_type", ["absolute"], "\"absolute\"")

        let name = config.value("hidden_act") ?? "gelu"
        guard let activation = name.string.flatMap(Activation.init(huggingFace:)) else {
            throw config.wrong("hidden_act", "gelu, gelu_new, gelu_pytorch_tanh or relu")
        }
        let epsilon = config.value("layer_norm_eps") ?? .real(1e-12)
        guard let epsilon = epsilon.real, epsilon > 0, epsilon < 1 else {
            throw config.wrong("layer_norm_eps", "a number between 0 and 1")
        }
        self.init(
            layers: try config.integer("num_hidden_layers", in: 1...128, fallback: 12),
            hidden: try config.integer("hidden_size", in: 1...16_384, fallback: 768),
            heads: try config.integer("num_attention_heads", in: 1...1024, fallback: 12),
            feedForward: try config.integer("intermediate_size", in: 1...65_536, fallback: 3072),
            positions: try config.integer("max_position_embeddings", in: 3...8192, fallback: 512),
            types: try config.integer("type_vocab_size", in: 1...64, fallback: 2),
            vocabulary: try config.integer("vocab_size", in: 5...1_000_000, fallback: 30_522),
            activation: activation, epsilon: epsilon)
        guard hidden % heads == 0 else {
            throw config.wrong("num_attention_heads", "a divisor of hidden_size \(hidden)")
        }
    }

    /// Whether `config.json` says that the decoder's weights are the word embeddings.
    static func saysTied(_ source: FileSource) throws(ModelFormatError) -> Bool {
        try ConfigurationFile(source, "config.json").bool("tie_word_embeddings", fallback: true)
    }
}

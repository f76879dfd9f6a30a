public import Tokenizer

/// What is asked of one text.
public struct Question: Sendable {
    /// Which pieces may be candidates when no targets are given.
    public enum Candidates: Sendable {
        /// Pieces a person would write: no special ones, no `[unused…]`, no `##` pieces. Their mass is not shared out.
        case words
        /// Every piece of the vocabulary, as the reference's pipeline has it.
        case pieces
    }

    public var text: String
    /// How many candidates a blank; with targets at most as many as they are.
    public var topK: Int
    /// Score only these; each must be one piece of the vocabulary.
    public var targets: [String]?
    /// Divides the logits; 1 is the reference's.
    public var temperature: Float
    public var folding: CaseFolding
    public var candidates: Candidates
    public var precision: Precision
    /// Who asks: nobody's questions go before those that others asked at the same time.
    public var client: UInt64

    public init(
        _ text: String, topK: Int = 5, targets: [String]? = nil, temperature: Float = 1,
        folding: CaseFolding = .auto, candidates: Candidates = .words, precision: Precision = .fast, client: UInt64 = 0
    ) {
        self.text = text
        self.topK = topK
        self.targets = targets
        self.temperature = temperature
        self.folding = folding
        self.candidates = candidates
        self.precision = precision
        self.client = client
    }
}

/// The answer to one question, blank by blank in the order of the text.
public struct Answer: Sendable {
    public struct Blank: Sendable {
        /// Unicode scalar offsets of the `[MASK]` in the text.
        public let start, end: Int
        /// Index of the `[MASK]` among `tokens`.
        public let position: Int
        /// Best first.
        public let candidates: [Candidate]
    }

    public struct Candidate: Sendable {
        public let text: String
        /// Probability, 0…1.
        public let score: Float
        public let token: Int32
    }

    /// The text's tokens, special ones included.
    public let tokens: [Int32]
    public let blanks: [Blank]
}

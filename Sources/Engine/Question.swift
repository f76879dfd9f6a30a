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
    /// Score only these: with `span` 1 pieces of the vocabulary, else words of that many pieces (1 to 8 with `auto`).
    public var targets: [String]?
    /// Divides the logits; 1 is the reference's, nil the version's own (`Calibration`).
    public var temperature: Float?
    public var folding: CaseFolding
    public var candidates: Candidates
    public var precision: Precision
    /// How many pieces a blank is.
    public var span: Span
    /// Whether several blanks are also filled together.
    public var joint: Bool
    /// Computed whatever was asked before, and not kept: for who measures.
    public var isFresh = false
    /// Of the search for words of several pieces; nil: what an answer to a client may cost. Such an answer is never kept.
    package var limits: SpanSearch.Limits? { didSet { isFresh = true } }
    /// Who asks: nobody's questions go before those that others asked at the same time.
    public var client: UInt64

    public init(
        _ text: String, topK: Int = 5, targets: [String]? = nil, temperature: Float? = 1,
        folding: CaseFolding = .auto, candidates: Candidates = .words, precision: Precision = .fast,
        span: Span = .one, joint: Bool = false, client: UInt64 = 0
    ) {
        self.text = text
        self.topK = topK
        self.targets = targets
        self.temperature = temperature
        self.folding = folding
        self.candidates = candidates
        self.precision = precision
        self.span = span
        self.joint = joint
        self.client = client
    }
}

/// How many pieces of the vocabulary a blank stands for. A Chinese character is one.
public enum Span: Sendable, Hashable {
    /// The most pieces a word has.
    public static let most = 8
    /// Lengths that compete where none is given; longer ones where a target or a term has them.
    static let competing = 1...4

    /// BERT's own meaning of `[MASK]`.
    case one
    /// 1 to 8, in a chain: words, not independent pieces.
    case pieces(Int)
    /// Words of all lengths on one scale.
    case auto
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
        /// Its pieces.
        public let tokens: [Int32]
        /// The first of them.
        public var token: Int32 { tokens[0] }
    }

    /// The whole text, filled.
    public struct Joint: Sendable {
        public let text: String
        /// What each blank was filled with.
        public let fills: [String]
        public let score: Float
    }

    /// The text's tokens, special ones included.
    public let tokens: [Int32]
    public let blanks: [Blank]
    /// Best first; nil where they were not asked for, or there are too many blanks (`FillMask.mostJoint`).
    public var joint: [Joint]?
}

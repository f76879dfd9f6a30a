/// How a text is cut (Hugging Face's BertTokenizerFast).
public struct TokenizerOptions: Sendable, Hashable {
    /// `do_lower_case`
    public var lowercase: Bool
    /// `strip_accents`; nil follows `lowercase`.
    public var stripAccents: Bool?
    /// `tokenize_chinese_chars`
    public var splitChinese: Bool

    public init(lowercase: Bool, stripAccents: Bool? = nil, splitChinese: Bool = true) {
        self.lowercase = lowercase
        self.stripAccents = stripAccents
        self.splitChinese = splitChinese
    }
}

/// Whether Latin capitals become small letters where the tokenizer itself leaves them.
public enum CaseFolding: String, Sendable, CaseIterable {
    /// Where the vocabulary has no piece of Latin letters with a capital among them.
    case auto
    case always
    /// Exactly as the reference.
    case never
}

/// A text as token ids, special ones included.
public struct Encoding: Sendable, Equatable {
    public internal(set) var ids: [Int32] = []
    /// Where each token lies in the text, in Unicode scalars; (0, 0) for the [CLS] and [SEP] that were added.
    public internal(set) var starts: [Int32] = []
    public internal(set) var ends: [Int32] = []
    /// Indices of the `[MASK]` tokens.
    public internal(set) var blanks: [Int] = []

    mutating func append(_ id: Int32, _ start: Int32, _ end: Int32) {
        ids.append(id)
        starts.append(start)
        ends.append(end)
    }
}

/// Texts to tokens and back: WordPiece (Wu et al. 2016) equal to Hugging Face's BertTokenizerFast, id for id and offset
/// for offset.
public struct Tokenizer: Sendable {
    public let vocabulary: Vocabulary
    public let options: TokenizerOptions

    public init(vocabulary: Vocabulary, options: TokenizerOptions) {
        self.vocabulary = vocabulary
        self.options = options
    }

    /// - Parameter limit: the most tokens, [CLS] and [SEP] included.
    /// - Throws: `.textTooLong`, never a silent cut.
    public func encode(
        _ text: String, folding: CaseFolding = .auto, limit: Int = .max
    ) throws(TokenizerError) -> Encoding {
        let folds =
            switch folding {
            case .auto: !options.lowercase && !vocabulary.hasLatinCapitals
            case .always: true
            case .never: false
            }
        var text = text
        return try text.withUTF8Typed { bytes throws(TokenizerError) in
            var cutter = Cutter(vocabulary: vocabulary, options: options, folds: folds, limit: limit)
            cutter.cut(bytes)
            return try cutter.finish()
        }
    }
}

extension String {
    /// `withUTF8` with a typed error.
    fileprivate mutating func withUTF8Typed<Value>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> Value
    ) throws(TokenizerError) -> Value {
        let result: Result<Value, TokenizerError> = withUTF8 { bytes in
            Result { () throws(TokenizerError) in try body(bytes) }
        }
        return try result.get()
    }
}

/// Cuts one text: special pieces first, as they stand in the text; between them scalar by scalar into words, each word
/// into pieces as soon as it ends. Every normalised character remembers the scalar it came from, which is all that
/// offsets need.
struct Cutter {
    private let vocabulary: Vocabulary
    private let lowercase: Bool
    private let stripsAccents: Bool
    private let splitsChinese: Bool
    private let folds: Bool
    /// Tokens that fit between [CLS] and [SEP].
    private let room: Int

    private var encoding = Encoding()
    private var tokens = 0
    private var limitOffset: Int32?

    private var word = Word()

    init(vocabulary: Vocabulary, options: TokenizerOptions, folds: Bool, limit: Int) {
        self.vocabulary = vocabulary
        lowercase = options.lowercase
        stripsAccents = options.stripAccents ?? options.lowercase
        splitsChinese = options.splitChinese
        self.folds = folds
        room = max(0, limit - 2)
        encoding.append(vocabulary.start, 0, 0)
    }

    mutating func cut(_ text: UnsafeBufferPointer<UInt8>) {
        var at = 0
        var index: Int32 = 0
        while at < text.count {
            if text[at] == UInt8(ascii: "["), let (id, length) = special(text, at) {
                endWord()
                emit(id, index, index + Int32(length))
                at += length
                index += Int32(length)
                continue
            }
            let (scalar, length) = Self.decode(text, at)
            take(scalar, at: index)
            at += length
            index += 1
        }
        endWord()
    }

    mutating func finish() throws(TokenizerError) -> Encoding {
        if let limitOffset {
            throw .textTooLong(tokens: tokens + 2, limit: room + 2, offset: Int(limitOffset))
        }
        encoding.append(vocabulary.end, 0, 0)
        return encoding
    }

    // MARK: - Scalars

    /// The five special pieces, matched exactly.
    private func special(_ text: UnsafeBufferPointer<UInt8>, _ at: Int) -> (Int32, Int)? {
        func matches(_ name: StaticString) -> Bool {
            let count = name.utf8CodeUnitCount
            guard text.count - at >= count else { return false }
            for index in 0..<count where text[at + index] != name.utf8Start[index] { return false }
            return true
        }
        if matches("[MASK]") { return (vocabulary.mask, 6) }
        if matches("[UNK]") { return (vocabulary.unknown, 5) }
        if matches("[CLS]") { return (vocabulary.start, 5) }
        if matches("[SEP]") { return (vocabulary.end, 5) }
        if matches("[PAD]") { return (vocabulary.padding, 5) }
        return nil
    }

    /// The scalar at a byte offset of valid UTF-8, and its length in bytes.
    @inline(__always)
    private static func decode(_ text: UnsafeBufferPointer<UInt8>, _ at: Int) -> (Unicode.Scalar, Int) {
        let first = UInt32(text[at])
        func rest(_ index: Int) -> UInt32 { UInt32(text[at + index] & 0x3F) }
        let (value, length): (UInt32, Int) =
            switch first {
            case 0..<0x80: (first, 1)
            case 0..<0xE0: ((first & 0x1F) << 6 | rest(1), 2)
            case 0..<0xF0: ((first & 0x0F) << 12 | rest(1) << 6 | rest(2), 3)
            default: ((first & 0x07) << 18 | rest(1) << 12 | rest(2) << 6 | rest(3), 4)
            }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }

    /// Clean, split, strip and lower: BertNormalizer, then BertPreTokenizer.
    private mutating func take(_ scalar: Unicode.Scalar, at index: Int32) {
        switch scalar.value {
        // Unified ideographs are most of what comes: nothing about them is to be looked up.
        case 0x4E00...0x9FFF where splitsChinese: isolate(scalar, index)
        case 0x61...0x7A, 0x30...0x39: word.append(scalar, index)
        case 0x41...0x5A:
            word.append(lowercase || folds ? Unicode.Scalar(UInt8(scalar.value + 0x20)) : scalar, index)
        case 0x20, 0x09, 0x0A, 0x0D: endWord()
        default: takeRare(scalar, at: index)
        }
    }

    private mutating func takeRare(_ scalar: Unicode.Scalar, at index: Int32) {
        if ReferenceScalar.isDropped(scalar) { return }
        if scalar.properties.isWhitespace { return endWord() }
        let isChinese = splitsChinese && ReferenceScalar.isChinese(scalar)
        if isChinese { endWord() }
        if stripsAccents {
            for part in ReferenceScalar.decomposition(of: scalar) where !ReferenceScalar.isMark(part) { lower(part, index) }
        } else {
            lower(scalar, index)
        }
        if isChinese { endWord() }
    }

    private mutating func lower(_ scalar: Unicode.Scalar, _ index: Int32) {
        if lowercase {
            for small in scalar.properties.lowercaseMapping.unicodeScalars { place(small, index) }
        } else {
            place(folds ? Latin.folded(scalar) ?? scalar : scalar, index)
        }
    }

    private mutating func place(_ scalar: Unicode.Scalar, _ index: Int32) {
        if ReferenceScalar.isPunctuation(scalar) { isolate(scalar, index) } else { word.append(scalar, index) }
    }

    private mutating func isolate(_ scalar: Unicode.Scalar, _ index: Int32) {
        endWord()
        word.append(scalar, index)
        endWord()
    }

    // MARK: - Words

    private mutating func endWord() {
        if word.count == 0 { return }
        let mark = encoding.ids.count
        let tokensBefore = tokens
        if word.count > Word.longest || !cutWord() {
            // All or nothing: the whole word is unknown.
            encoding.ids.removeSubrange(mark...)
            encoding.starts.removeSubrange(mark...)
            encoding.ends.removeSubrange(mark...)
            tokens = tokensBefore
            if tokens <= room { limitOffset = nil }
            emit(vocabulary.unknown, word.origin(0), word.origin(word.count - 1) + 1)
        }
        word.removeAll()
    }

    /// The longest piece first, then the longest that continues it, to the end of the word.
    private mutating func cutWord() -> Bool {
        var first = 0
        while first < word.count {
            guard let (id, count) = word.longestPiece(from: first, in: vocabulary) else { return false }
            emit(id, word.origin(first), word.origin(first + count - 1) + 1)
            first += count
        }
        return true
    }

    /// Beyond the limit tokens are counted, not kept.
    private mutating func emit(_ id: Int32, _ start: Int32, _ end: Int32) {
        tokens += 1
        if tokens > room {
            if tokens == room + 1 { limitOffset = start }
            return
        }
        if id == vocabulary.mask { encoding.blanks.append(encoding.ids.count) }
        encoding.append(id, start, end)
    }
}

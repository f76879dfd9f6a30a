extension Tokenizer {
    /// A piece as a person reads it: without the `##` of a continuation.
    public func pieceText(_ id: Int32) -> String {
        let piece = vocabulary[Int(id)]
        return piece.utf8.starts(with: "##".utf8) && piece.utf8.count > 2 ? String(piece.unicodeScalars.dropFirst(2)) : piece
    }

    /// Tokens as a text, as BertTokenizerFast.decode has it: a space between pieces, none before a continuation, and
    /// English punctuation drawn up to its word.
    ///
    /// - Parameter skippingSpecials: leave out [CLS], [SEP], [PAD], [MASK] and [UNK].
    public func decode(_ ids: [Int32], skippingSpecials: Bool) -> String {
        var text = ""
        for id in ids where !(skippingSpecials && vocabulary.isSpecial(id)) {
            let piece = vocabulary[Int(id)]
            if text.isEmpty {
                text += Self.drawnUp(piece)
            } else if piece.utf8.starts(with: "##".utf8) {
                text += Self.drawnUp(String(piece.unicodeScalars.dropFirst(2)))
            } else {
                text += Self.drawnUp(" " + piece)
            }
        }
        return text
    }

    /// The reference's clean-up, applied to each piece with the space before it.
    private static func drawnUp(_ piece: String) -> String {
        var piece = piece
        for (spaced, drawn) in [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ] {
            piece = piece.replacing(spaced, with: drawn)
        }
        return piece
    }
}
